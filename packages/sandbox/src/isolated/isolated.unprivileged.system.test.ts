// As a user without privileges, whom the kernel holds to limits: all of the suite, and limits above all.
import { mkdtemp, realpath, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describeSandboxConformance } from "@stigmer/sandbox/conformance";
import { afterAll, beforeAll, describe, expect, it, test } from "vitest";
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
const capabilities = isolatedCapabilities({ ...(await findings()), tracksEscapes: true });

test("runs as an unprivileged user, who is held to a number of processes", () => {
  expect(process.geteuid?.()).not.toBe(0);
  expect(capabilities.limits).toContain("processes");
});

describeSandboxConformance(
  {
    name: "isolated, unprivileged",
    capabilities,
    // Other suites share the machine.
    slackMs: 3000,
    groups: ["execute", "termination", "processes", "escape", "lifecycle", "hostile"],
    create: ({ id, ...wish }) =>
      createIsolatedSandbox({ rootDir: id?.slice("isolated:".length) ?? newRoot(), ...wish }),
  },
  { describe, it },
);
