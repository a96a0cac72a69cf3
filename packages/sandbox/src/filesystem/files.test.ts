// The same operations where there is no /proc, as on macOS: entries are found by path, and verified once open.
import { mkdtemp, realpath, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describeSandboxConformance } from "@stigmer/sandbox/conformance";
import { afterAll, beforeAll, describe, it } from "vitest";
import { createFilesystemSandbox } from "./create.ts";
import { createFiles } from "../host-files/files.ts";
import { filesystemCapabilities } from "./capabilities.ts";

let directory: string;

beforeAll(async () => {
  directory = await realpath(await mkdtemp(join(tmpdir(), "files-by-path-")));
});

afterAll(async () => {
  await rm(directory, { recursive: true });
});

let made = 0;
describeSandboxConformance(
  {
    name: "files without directory handles",
    groups: ["files", "escape"],
    capabilities: filesystemCapabilities(),
    create: async () => {
      const sandbox = await createFilesystemSandbox({ rootDir: join(directory, `root-${made++}`) });
      return {
        ...sandbox,
        files: createFiles({ location: sandbox.root, roots: [sandbox.root], assertUsable: () => {}, byHandle: false }),
      };
    },
    skip: [
      {
        test: "escape: stays inside while a directory is exchanged for a link",
        reason: "without handles a moment remains between finding a directory and changing what is in it",
      },
    ],
  },
  { describe, it },
);
