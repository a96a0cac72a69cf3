// With the real bubblewrap, as this user. What depends on not being root is in isolated.unprivileged.system.test.ts.
import { mkdtemp, realpath, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describeSandboxConformance } from "@stigmer/sandbox/conformance";
import { afterAll, beforeAll, describe, it } from "vitest";
import { isolatedCapabilities } from "./capabilities.ts";
import { createIsolatedSandbox } from "./index.ts";
import { findings } from "./linux.ts";

let directory: string;

beforeAll(async () => {
  directory = await realpath(await mkdtemp(join(tmpdir(), "isolated-sandbox-")));
});

afterAll(async () => {
  await rm(directory, { recursive: true });
});

let made = 0;
const newRoot = (): string => join(directory, `root-${made++}`);

describeSandboxConformance(
  {
    name: "isolated",
    capabilities: isolatedCapabilities({ ...(await findings()), tracksEscapes: true }),
    // Other suites share the machine.
    slackMs: 3000,
    create: ({ id, ...wish }) =>
      createIsolatedSandbox({ rootDir: id?.slice("isolated:".length) ?? newRoot(), ...wish }),
  },
  { describe, it },
);
