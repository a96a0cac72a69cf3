// Commands where processes are started by Node itself, as on macOS, and on Linux without its optional package.
import { mkdtemp, realpath, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describeSandboxConformance } from "@stigmer/sandbox/conformance";
import { afterAll, beforeAll, describe, it, vi } from "vitest";
import { filesystemCapabilities } from "./capabilities.ts";
import { createFilesystemSandbox } from "./create.ts";

vi.mock("koffi", () => {
  throw new Error("Cannot find package 'koffi'");
});

let directory: string;

beforeAll(async () => {
  directory = await realpath(await mkdtemp(join(tmpdir(), "without-koffi-")));
});

afterAll(async () => {
  await rm(directory, { recursive: true });
});

let made = 0;
describeSandboxConformance(
  {
    name: "filesystem, whose commands Node starts,",
    groups: ["execute", "termination", "processes"],
    capabilities: filesystemCapabilities(),
    // Other suites share the machine.
    slackMs: 3000,
    create: ({ id }) =>
      createFilesystemSandbox({ rootDir: id?.slice("filesystem:".length) ?? join(directory, `root-${made++}`) }),
  },
  { describe, it },
);
