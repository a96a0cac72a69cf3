// The suite must fail on a sandbox that breaks a promise: each of these breaks one.
import { spawn } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { filesystemCapabilities } from "../filesystem/capabilities.ts";
import { createFilesystemSandbox } from "../filesystem/index.ts";
import type { ExecuteResult, Sandbox, SandboxFiles } from "../sandbox.ts";
import { sandboxConformance, type ConformanceOptions } from "./index.ts";

let directory: string;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "conformance-"));
});

afterAll(async () => {
  await rm(directory, { recursive: true });
});

const capabilities = filesystemCapabilities();
let made = 0;

type Fault = (sandbox: Sandbox) => Partial<Sandbox>;

const suite = (fault: Fault, options?: Partial<ConformanceOptions>): ReturnType<typeof sandboxConformance> =>
  sandboxConformance({
    name: "faulty",
    capabilities,
    slackMs: 1000,
    create: async ({ id }) => {
      const rootDir = id?.slice("filesystem:".length) ?? join(directory, `root-${made++}`);
      const sandbox = await createFilesystemSandbox({ rootDir });
      return { ...sandbox, ...fault(sandbox) };
    },
    ...options,
  });

const withFiles =
  (change: (files: SandboxFiles, sandbox: Sandbox) => Partial<SandboxFiles>): Fault =>
  (sandbox) => ({ files: { ...sandbox.files, ...change(sandbox.files, sandbox) } });

const withResult =
  (change: (result: ExecuteResult) => Partial<ExecuteResult>): Fault =>
  (sandbox) => ({
    execute: async (command, options) => {
      const result = await sandbox.execute(command, options);
      return { ...result, ...change(result) };
    },
  });

/** Kills the shell alone, as `child_process.exec` with a time-out does, and returns. */
const killsOnlyTheShell: Fault = (sandbox) => ({
  execute: async (command, options = {}) => {
    if (!command.includes("beat") || !options.signal) return sandbox.execute(command, options);
    const child = spawn("/bin/sh", ["-c", command], { cwd: sandbox.root, stdio: "ignore", detached: true });
    await new Promise((resolve) => options.signal?.addEventListener("abort", resolve));
    child.kill("SIGKILL");
    orphans.push(child.pid ?? 0);
    return { exitCode: 137, stdout: "", stderr: "", truncated: false, durationMs: 0, reason: "aborted" };
  },
});
const orphans: number[] = [];

afterAll(() => {
  for (const group of orphans) {
    try {
      process.kill(-group, "SIGKILL");
    } catch {
      // Ended by itself.
    }
  }
});

const outside = "escape: refuses links that lead out, and leaves what is there alone";

const faults: readonly [what: string, fault: Fault, caughtBy: string][] = [
  ["lets grandchildren live", killsOnlyTheShell, "termination: leaves nothing: a grandchild that holds the pipe"],
  [
    "ignores the time-out",
    (sandbox) => ({ execute: (command, options) => sandbox.execute(command, { ...options, timeoutMs: 3000 }) }),
    "termination: ends a command at its time-out, with code 124 and what it printed",
  ],
  [
    "forgets what was printed before a time-out",
    withResult(({ reason }) => (reason === "timeout" ? { stdout: "" } : {})),
    "termination: ends a command at its time-out, with code 124 and what it printed",
  ],
  [
    "goes on after an abort",
    (sandbox) => ({ execute: (command, options) => sandbox.execute(command, { ...options, signal: undefined }) }),
    "termination: starts nothing when aborted before",
  ],
  [
    "mixes stderr into stdout",
    withResult(({ stdout, stderr }) => ({ stdout: stdout + stderr, stderr: "" })),
    "execute: keeps stderr apart where it says so",
  ],
  ["loses exit codes", withResult(() => ({ exitCode: 0 })), "execute: returns output and exit code"],
  [
    "follows links when it reads",
    withFiles((_, { root }) => ({ read: async (path) => readFile(join(root, path)) })),
    outside,
  ],
  [
    "follows links when it writes",
    withFiles((_, { root }) => ({ write: async (path, content) => writeFile(join(root, path), content) })),
    outside,
  ],
  [
    "writes in place",
    withFiles((files, { root }) => ({
      write: async (path, content) => {
        await files.write(path, "");
        // Long enough for any reader to see it.
        await setTimeout(5);
        await writeFile(join(root, path), content);
      },
    })),
    "files: replaces a file in one step",
  ],
  [
    "reads bytes as text",
    withFiles((files) => ({ read: async (path) => Buffer.from(Buffer.from(await files.read(path)).toString()) })),
    "files: reads what was written, byte for byte",
  ],
  [
    "promises more than it is",
    (sandbox) => ({ capabilities: { ...sandbox.capabilities, isolation: true } }),
    "lifecycle: says what it is",
  ],
  [
    "lets background processes live",
    (sandbox) => ({
      spawn: async (command, options) => ({ ...(await sandbox.spawn(command, options)), kill: async () => {} }),
      process: async () => ({ ...(await sandbox.spawn("true")), kill: async () => {} }),
    }),
    "processes: kills a background process with all it started",
  ],
  [
    "forgets what runs in the background",
    () => ({ processes: async () => [] }),
    "processes: lists what a command left running, which can be read and killed",
  ],
  [
    "keeps the beginning of a background process's output",
    (sandbox) => ({
      async spawn(command, options) {
        const process = await sandbox.spawn(command, { ...options, maxOutputBytes: 1_000_000 });
        const cut = (text: string): string => text.slice(0, options?.maxOutputBytes);
        const wait = async (): Promise<ExecuteResult> => {
          const result = await process.wait();
          return { ...result, stdout: cut(result.stdout), truncated: true };
        };
        return { ...process, wait: wait as typeof process.wait };
      },
    }),
    "processes: keeps the end of what a background process prints",
  ],
  [
    "measures by the system's clock",
    (sandbox) => ({
      async execute(command, options) {
        const started = Date.now();
        return { ...(await sandbox.execute(command, options)), durationMs: Date.now() - started };
      },
    }),
    "hostile: a clock that jumps changes no time-out and no duration",
  ],
  [
    "reads names as shell code",
    withFiles((files, sandbox) => ({
      write: async (path, content) => {
        await sandbox.execute(`cat > "${path}"`, { stdin: content }).catch(() => {});
        if (!(await files.exists(path))) await files.write(path, content);
      },
    })),
    "hostile: newlines, quotes and emoji in names mean nothing",
  ],
  // As `suite` makes them, without a look at what they were to keep.
  [
    "keeps silent about what it can't keep",
    () => ({}),
    "hostile: a policy or limit that can't be kept is refused by name",
  ],
  [
    "forgets its files",
    withFiles(() => ({ readText: async () => "" })),
    "lifecycle: comes back by its id, with its files",
  ],
];

describe("a sandbox that", () => {
  test.for(faults)("%s fails", async ([, fault, caughtBy]) => {
    const found = suite(fault).find(({ name }) => name === caughtBy);
    expect(found).toBeDefined();
    await expect(found!.run()).rejects.toMatchObject({ code: "ERR_ASSERTION" });
  });
});

test("every name is different, and those that need more than is declared are skipped", () => {
  const tests = suite(() => ({}), { capabilities: { ...capabilities, tracksEscapes: false } });
  expect(new Set(tests.map(({ name }) => name)).size).toBe(tests.length);
  expect(tests.length).toBeGreaterThan(50);
  const escape = "termination: leaves nothing: one that left session, parent and environment";
  expect(tests.find(({ name }) => name === escape)?.skipped).toBe("tracksEscapes is not declared");
  const tracking = suite(() => ({}), { capabilities: { ...capabilities, tracksEscapes: true } });
  expect(tracking.find(({ name }) => name === escape)?.skipped).toBeUndefined();
});

test("a skip has a reason and names a test that exists", () => {
  const skip = [{ test: "lifecycle: says what it is", reason: "because" }];
  expect(suite(() => ({}), { skip }).filter(({ skipped }) => skipped === "because")).toHaveLength(1);
  expect(() => suite(() => ({}), { skip: [{ test: "lifecycle: nothing", reason: "x" }] })).toThrow(
    /no conformance test/,
  );
});
