// The same promises for commands that another thread starts, as in a large process.
import { mkdtemp, readdir, realpath, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describeSandboxConformance } from "@stigmer/sandbox/conformance";
import { afterAll, beforeAll, beforeEach, describe, expect, it, test, vi } from "vitest";
import { readProcess } from "../host-processes/process-table.ts";
import { endThread, startInThread, startsInThread } from "../host-processes/start-process.ts";
import type { Sandbox } from "../sandbox.ts";
import { filesystemCapabilities } from "./capabilities.ts";
import { createFilesystemSandbox } from "./index.ts";

let directory: string;

beforeAll(async () => {
  directory = await realpath(await mkdtemp(join(tmpdir(), "in-thread-")));
  startInThread("always");
});

beforeEach(() => vi.waitUntil(startsInThread, { timeout: 30_000 }));

afterAll(async () => {
  startInThread("by-size");
  await rm(directory, { recursive: true });
});

let made = 0;
const newRoot = (): string => join(directory, `root-${made++}`);

describeSandboxConformance(
  {
    name: "filesystem, in a thread",
    capabilities: filesystemCapabilities(),
    // Other suites share the machine.
    slackMs: 3000,
    create: ({ id, ...wish }) =>
      createFilesystemSandbox({ rootDir: id?.slice("filesystem:".length) ?? newRoot(), ...wish }),
  },
  { describe, it },
);

const withSandbox = async (use: (sandbox: Sandbox) => Promise<void>): Promise<void> => {
  const sandbox = await createFilesystemSandbox({ rootDir: newRoot() });
  try {
    await use(sandbox);
  } finally {
    await sandbox.dispose();
  }
};

test("a command that can't be started says why, as elsewhere", async () => {
  const told = await createFilesystemSandbox({ rootDir: newRoot(), shell: "/bin/sh" });
  const absent = await createFilesystemSandbox({ rootDir: newRoot(), shell: "/none/sh" });
  const forbidden = await createFilesystemSandbox({ rootDir: newRoot(), shell: "/etc/passwd" });
  expect(await absent.execute("true")).toMatchObject({ exitCode: 126, reason: "backend-error" });
  expect((await absent.execute("true")).stderr).toContain("spawn /none/sh ENOENT");
  expect((await forbidden.execute("true")).stderr).toContain("EACCES");
  expect((await told.execute("true", { env: { LONG: "x".repeat(3_000_000) } })).stderr).toContain("E2BIG");
  await Promise.all([told, absent, forbidden].map((sandbox) => sandbox.dispose()));
});

test("a thread that ends takes what it started with it, and the next command runs all the same", async () => {
  await withSandbox(async (sandbox) => {
    const begun = Promise.withResolvers<string>();
    const slow = sandbox.execute("echo begun; sleep 60 & sleep 60", { onStdout: begun.resolve });
    const handle = await sandbox.spawn("echo $$; exec sleep 60");
    await Promise.all([begun.promise, vi.waitUntil(async () => (await handle.output()).stdout !== "")]);
    await endThread();
    expect(await slow).toMatchObject({ exitCode: 137, reason: "backend-error", stdout: "begun\n" });
    expect((await slow).stderr).toContain("the thread that starts processes is gone");
    const { stdout, reason } = await handle.wait();
    expect(reason).toBe("backend-error");
    expect(readProcess(Number(stdout))?.state ?? "Z").toBe("Z");
    expect(startsInThread()).toBe(false);
    expect(await sandbox.execute("echo on")).toMatchObject({ exitCode: 0, stdout: "on\n" });
  });
});

test("leaves no open files behind", async () => {
  const open = async (): Promise<number> => (await readdir("/dev/fd")).length;
  await withSandbox(async (sandbox) => {
    const work = async (): Promise<void> => {
      await sandbox.execute("cat; sleep 5 &", { stdin: "x" });
      await sandbox.execute("sleep 5", { timeoutMs: 20 });
      for (const process of await sandbox.processes()) await process.kill();
    };
    await work();
    const before = await open();
    for (let round = 0; round < 10; round++) await work();
    await vi.waitUntil(async () => (await open()) <= before, { timeout: 5000 });
  });
});
