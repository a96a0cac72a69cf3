// What backends do on a full disk: only root can make one that is small enough to fill.
import { execFileSync } from "node:child_process";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createSandbox } from "../index.ts";
import { sandboxConformance } from "./index.ts";

let directory: string;
const mounted: string[] = [];

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "full-disk-"));
});

afterAll(async () => {
  for (const disk of mounted) execFileSync("umount", [disk]);
  await rm(directory, { recursive: true });
});

let made = 0;

async function mountSmallDisk(): Promise<string> {
  const disk = join(directory, `disk-${made++}`);
  await mkdir(disk);
  execFileSync("mount", ["-t", "tmpfs", "-o", "size=16m", "small", disk]);
  mounted.push(disk);
  return disk;
}

describe.each(["filesystem", "isolated"] as const)("%s", (type) => {
  test("tells a full disk, and spoils no file", async () => {
    const { capabilities, dispose } = await createSandbox({ type, rootDir: join(directory, `any-${made++}`) });
    await dispose();
    const [fullDisk, ...others] = sandboxConformance({
      name: type,
      capabilities,
      create: async () => createSandbox({ type, rootDir: join(directory, `any-${made++}`) }),
      createOnSmallDisk: async () => createSandbox({ type, rootDir: join(await mountSmallDisk(), "root") }),
      groups: ["hostile"],
    }).filter(({ name }) => name.includes("full disk"));
    expect(others).toEqual([]);
    expect(fullDisk?.skipped).toBeUndefined();
    await fullDisk?.run();
  });
});
