import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { checkSandboxBackend, createSandbox, removeSandbox, SandboxError } from "./index.ts";

test("makes the sandbox that the type names", async () => {
  const rootDir = await mkdtemp(join(tmpdir(), "create-sandbox-"));
  const sandbox = await createSandbox({ type: "filesystem", rootDir });
  expect(sandbox.backend).toBe("filesystem");
  await sandbox.dispose();
  await rm(rootDir, { recursive: true });
});

test.each(["dokcer", "toString", "__proto__", undefined])(
  "refuses the type %j and lists the known ones",
  async (type) => {
    const error: unknown = await createSandbox({ type, rootDir: "/x" } as never).catch((reason: unknown) => reason);
    expect(SandboxError.is(error)).toBe(true);
    expect(error).toMatchObject({
      code: "unknown-backend",
      message: expect.stringContaining("Known backends: filesystem, isolated, docker, daytona."),
    });
  },
);

test("a backend is checked without making anything, and asked to remove what it holds", async () => {
  await checkSandboxBackend({ type: "filesystem" });
  await expect(checkSandboxBackend({ type: "filesystem", network: { type: "off" } })).rejects.toMatchObject({
    code: "unsupported",
  });
  await expect(checkSandboxBackend({ type: "docker", host: "unix:///none.sock" })).rejects.toMatchObject({
    code: "backend-unavailable",
  });
  await expect(
    removeSandbox({ type: "docker", host: "unix:///none.sock" }, `docker:${"0".repeat(64)}`),
  ).rejects.toThrow("none.sock");
  const rootDir = await mkdtemp(join(tmpdir(), "create-sandbox-"));
  const sandbox = await createSandbox({ type: "filesystem", rootDir });
  await sandbox.dispose();
  await removeSandbox({ type: "filesystem" }, sandbox.id);
  await rm(rootDir, { recursive: true });
});

test("an error of another copy of this package is recognised", () => {
  const foreign = Object.defineProperty(new Error("x"), Symbol.for("@stigmer/sandbox.SandboxError"), { value: true });
  expect(SandboxError.is(foreign)).toBe(true);
  expect(SandboxError.is(new Error("x"))).toBe(false);
});

test("the root entry loads nothing but its own few modules until a sandbox is made", async () => {
  const script = `
    import { registerHooks } from "node:module";
    const loaded = [];
    registerHooks({ load(url, context, next) { loaded.push(url); return next(url, context); } });
    await import("@stigmer/sandbox");
    console.log(JSON.stringify(loaded.filter((url) => url.startsWith("file:"))));`;
  const args = ["--conditions=@stigmer/source", "--input-type=module", "--eval", script];
  const { stdout } = await promisify(execFile)(process.execPath, args, { cwd: import.meta.dirname });
  const loaded = (JSON.parse(stdout) as string[]).map((url) => url.slice(url.lastIndexOf("/src/") + "/src/".length));
  expect(loaded.sort()).toEqual(["create-sandbox.ts", "errors.ts", "index.ts", "sandbox-sessions.ts"]);
});
