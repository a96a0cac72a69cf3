// With the real engine.
import { execFileSync } from "node:child_process";
import { mkdir, mkdtemp, realpath, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describeSandboxConformance, type ConformanceWish } from "@stigmer/sandbox/conformance";
import { afterAll, beforeAll, describe, it } from "vitest";
import { dockerCapabilities } from "./capabilities.ts";
import { testEngine } from "./__fixtures__/test-engine.ts";
import type { Sandbox } from "../sandbox.ts";
import { createDockerSandbox } from "./index.ts";

const { host, image } = testEngine();
let directory: string;
const roots = new Map<string, string>();

beforeAll(async () => {
  directory = await realpath(await mkdtemp(join(tmpdir(), "docker-sandbox-")));
});

afterAll(async () => {
  for (const [id, rootDir] of roots) {
    await (await createDockerSandbox({ host, image, id, rootDir })).dispose({ remove: true });
  }
  for (const disk of disks) execFileSync("umount", [disk]);
  await rm(directory, { recursive: true });
});

const disks: string[] = [];
let made = 0;

async function open({ id, ...wish }: ConformanceWish, rootDir: string): Promise<Sandbox> {
  const sandbox = await createDockerSandbox({ host, image, pull: "never", rootDir, id, ...wish });
  roots.set(sandbox.id, rootDir);
  return sandbox;
}

/** Only root can make a disk that is small enough to fill. */
async function openOnSmallDisk(): Promise<Sandbox> {
  const disk = join(directory, `disk-${made++}`);
  await mkdir(disk);
  execFileSync("mount", ["-t", "tmpfs", "-o", "size=16m", "small", disk]);
  disks.push(disk);
  return open({}, join(disk, "root"));
}

describeSandboxConformance(
  {
    name: "docker",
    capabilities: dockerCapabilities,
    slackMs: 1000,
    create: (wish) => open(wish, roots.get(wish.id ?? "") ?? join(directory, `root-${made++}`)),
    ...(process.geteuid?.() === 0 && { createOnSmallDisk: openOnSmallDisk }),
  },
  { describe, it },
);
