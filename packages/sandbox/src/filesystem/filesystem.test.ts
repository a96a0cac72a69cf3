import { mkdir, mkdtemp, readFile, readdir, realpath, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describeSandboxConformance } from "@stigmer/sandbox/conformance";
import { afterAll, beforeAll, describe, expect, it, test } from "vitest";
import type { Sandbox } from "../sandbox.ts";
import { filesystemCapabilities } from "./capabilities.ts";
import { createFilesystemSandbox, type FilesystemSandboxOptions } from "./index.ts";

let directory: string;

beforeAll(async () => {
  directory = await realpath(await mkdtemp(join(tmpdir(), "filesystem-sandbox-")));
});

afterAll(async () => {
  await rm(directory, { recursive: true });
});

let made = 0;
const newRoot = (): string => join(directory, `root-${made++}`);

async function withSandbox(
  use: (sandbox: Sandbox) => Promise<void>,
  options?: Partial<FilesystemSandboxOptions>,
): Promise<void> {
  const sandbox = await createFilesystemSandbox({ rootDir: newRoot(), ...options });
  try {
    await use(sandbox);
  } finally {
    await sandbox.dispose();
  }
}

describeSandboxConformance(
  {
    name: "filesystem",
    capabilities: filesystemCapabilities(),
    // Other suites share the machine.
    slackMs: 3000,
    create: ({ id, ...wish }) =>
      createFilesystemSandbox({ rootDir: id?.slice("filesystem:".length) ?? newRoot(), ...wish }),
  },
  { describe, it },
);

describe("the root", () => {
  test("is made when it is missing, and outlives the sandbox with what was there before", async () => {
    const rootDir = join(newRoot(), "nested");
    await mkdir(rootDir, { recursive: true });
    await writeFile(join(rootDir, "mine"), "x");
    await withSandbox(async (sandbox) => sandbox.files.write("new", "y"), { rootDir });
    expect((await readdir(rootDir)).sort()).toEqual(["mine", "new"]);
  });

  test("is the real one behind a link, and goes by both names", async () => {
    const real = newRoot();
    const link = newRoot();
    await mkdir(real);
    await symlink(real, link);
    await withSandbox(
      async (sandbox) => {
        expect(sandbox.root).toBe(real);
        await sandbox.files.write(`${link}/file`, "x");
        expect(sandbox.files.resolve(`${link}/file`)).toBe(`${real}/file`);
        expect(await sandbox.execute(`ln -s ${link}/file absolute && cat absolute`)).toMatchObject({ stdout: "x" });
        expect(await sandbox.files.readText("absolute")).toBe("x");
      },
      { rootDir: link },
    );
  });

  test("that is a file, or not named, is refused", async () => {
    const file = newRoot();
    await writeFile(file, "");
    await expect(createFilesystemSandbox({ rootDir: file })).rejects.toMatchObject({ code: "not-directory" });
    await expect(createFilesystemSandbox({ rootDir: "" })).rejects.toMatchObject({ code: "invalid-argument" });
  });

  test("that was removed is told as a sandbox that is gone", async () => {
    await withSandbox(async (sandbox) => {
      await rm(sandbox.root, { recursive: true });
      expect(await sandbox.execute("true")).toMatchObject({ exitCode: 126, reason: "sandbox-gone" });
      await expect(sandbox.files.read("x")).rejects.toMatchObject({ code: "not-found" });
    });
  });
});

describe("the environment", () => {
  const hostEnv = { PATH: process.env["PATH"], OPENAI_API_KEY: "canary-1", PROJECT: "p", SPECIAL: "canary-2" };

  test("holds what the host has but secrets, and what the agent declares", async () => {
    const options = { hostEnv, withheld: ["SPECIAL"], env: { DECLARED: "d" } };
    await withSandbox(async (sandbox) => {
      const { stdout } = await sandbox.execute("env", { env: { ONE: "1" } });
      expect(stdout).toContain("PROJECT=p\n");
      expect(stdout).toContain("DECLARED=d\n");
      expect(stdout).toContain("ONE=1\n");
      expect(stdout).not.toContain("canary");
      expect(stdout).not.toContain("STIGMER");
    }, options);
  });

  test("a bad one is refused without its value", async () => {
    const env = { SECRET: "canary\0" };
    const making = createFilesystemSandbox({ rootDir: newRoot(), env });
    await expect(making).rejects.toMatchObject({
      code: "invalid-argument",
      message: expect.not.stringContaining("canary"),
    });
  });
});

test("a shell that is missing is told as a failure of the backend", async () => {
  await withSandbox(
    async (sandbox) => expect(await sandbox.execute("true")).toMatchObject({ exitCode: 126, reason: "backend-error" }),
    { shell: "/no/such/shell" },
  );
});

test("a command too long even in pieces is a result", async () => {
  await withSandbox(async (sandbox) => {
    const result = await sandbox.execute(`: ${"x".repeat(20_000_000)}`);
    expect(result).toMatchObject({ exitCode: 126, reason: "backend-error", stderr: expect.stringContaining("E2BIG") });
  });
});

test.runIf(process.platform === "linux")("finds by its mark a process that left both session and parent", async () => {
  const beating = "while :; do echo . >> beat; sleep 0.05; done";
  const size = async (file: string): Promise<number> => (await readFile(file).catch(() => "")).length;
  for (const how of ["timeout", "dispose"] as const) {
    const rootDir = newRoot();
    const sandbox = await createFilesystemSandbox({ rootDir });
    const start = `(setsid sh -c '${beating}' >/dev/null 2>&1 &); until [ -s beat ]; do sleep 0.02; done`;
    if (how === "timeout") await sandbox.execute(`${start}; sleep 60`, { timeoutMs: 1000 });
    else await sandbox.execute(start);
    if (how === "dispose") await sandbox.dispose();
    const before = await size(join(rootDir, "beat"));
    expect(before).toBeGreaterThan(0);
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(await size(join(rootDir, "beat"))).toBe(before);
    await sandbox.dispose();
  }
});

test("ends a command that starts processes faster than one can look", async () => {
  await withSandbox(async (sandbox) => {
    const spawner =
      "spawn() { while :; do (sleep 0.3; echo . >> late) & sleep 0.01; done; }; spawn & spawn & echo on; wait";
    const result = await sandbox.execute(spawner, { timeoutMs: 600 });
    expect(result).toMatchObject({ exitCode: 124, stdout: "on\n" });
    const after = (await sandbox.files.read("late").catch(() => new Uint8Array(0))).length;
    await new Promise((resolve) => setTimeout(resolve, 600));
    expect((await sandbox.files.read("late").catch(() => new Uint8Array(0))).length).toBe(after);
  });
});

test("leaves no open files and no listeners behind", async () => {
  const open = async (): Promise<number> => (await readdir("/dev/fd")).length;
  await withSandbox(async (sandbox) => {
    const abort = new AbortController();
    const work = async (): Promise<void> => {
      await sandbox.files.write("a/b/c", "x");
      await sandbox.files.edit("a/b/c", "x", "y");
      await sandbox.files.grep("y");
      await sandbox.files.glob("**");
      await sandbox.files.read("a/none").catch(() => {});
      await sandbox.files.write("a/b", "x").catch(() => {});
      await sandbox.files.remove("a");
      await sandbox.execute("true", { signal: abort.signal });
    };
    await work();
    const before = await open();
    for (let round = 0; round < 10; round++) await work();
    expect(await open()).toBeLessThanOrEqual(before);
  });
});
