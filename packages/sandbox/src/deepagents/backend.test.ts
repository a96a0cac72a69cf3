import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createFilesystemMiddleware, isSandboxBackend, type SandboxBackendProtocolV2 } from "deepagents";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createFilesystemSandbox } from "../filesystem/index.ts";
import type { Sandbox } from "../sandbox.ts";
import { toDeepAgentsBackend } from "./index.ts";
import type { DeepAgentsBackend } from "./index.ts";

let directory: string;
let sandbox: Sandbox;
let backend: DeepAgentsBackend;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "deepagents-backend-"));
  sandbox = await createFilesystemSandbox({ rootDir: join(directory, "root") });
  backend = toDeepAgentsBackend(sandbox);
  await sandbox.files.upload([
    { path: "src/a.ts", content: "one\ntwo\nthree\n" },
    { path: "pixel.png", content: new Uint8Array([0x89, 0x50, 0, 0xff]) },
    { path: "empty.txt", content: "" },
    { path: "data.bin", content: new Uint8Array([0xff, 0xfe, 0]) },
  ]);
});

afterAll(async () => {
  await sandbox.dispose();
  await rm(directory, { recursive: true });
});

const at = (path: string): string => `${sandbox.root}/${path}`;

test("deepagents takes it for a sandbox", () => {
  const typed: SandboxBackendProtocolV2 = backend;
  expect(isSandboxBackend(typed)).toBe(true);
});

describe("deepagents' own tools run over it", () => {
  interface RunnableTool {
    readonly name: string;
    invoke(input: unknown): Promise<unknown>;
  }
  const call = async (name: string, args: Record<string, unknown>): Promise<string> => {
    const { tools = [] } = createFilesystemMiddleware({ backend });
    const found = (tools as readonly RunnableTool[]).find((tool) => tool.name === name);
    const result = await found!.invoke({ type: "tool_call", id: "call-1", name, args });
    return JSON.stringify((result as { content: unknown }).content);
  };

  test("write_file, edit_file, read_file", async () => {
    expect(await call("write_file", { file_path: "/notes/x.md", content: "# A\nb\n" })).toContain("Successfully wrote");
    const edited = await call("edit_file", { file_path: at("notes/x.md"), old_string: "b", new_string: "c" });
    expect(edited).toContain("1 occurrence");
    expect(await call("read_file", { file_path: "/notes/x.md" })).toContain("# A\\nc");
  });

  test("ls, glob, grep name real paths", async () => {
    expect(await call("ls", { path: "/" })).toContain(`${at("src/")} (directory)`);
    expect(await call("glob", { pattern: "**/*.ts" })).toContain(at("src/a.ts"));
    expect(await call("grep", { pattern: "two" })).toContain(at("src/a.ts"));
  });

  test("execute, and an image", async () => {
    expect(await call("execute", { command: "pwd; exit 3" })).toContain(`${sandbox.root}\\n\\nExit code: 3`);
    expect(await call("read_file", { file_path: "/pixel.png" })).toContain('"mimeType":"image/png"');
  });
});

describe("read", () => {
  test("pages by lines", async () => {
    expect(await backend.read("/src/a.ts", 1, 1)).toEqual({
      content: "two",
      mimeType: "text/plain",
      totalLines: 3,
      startLine: 2,
      endLine: 2,
      nextOffset: 2,
    });
    const whole = await backend.read("src/a.ts", 0, Number.MAX_SAFE_INTEGER);
    expect(whole).toMatchObject({ content: "one\ntwo\nthree\n", startLine: 1, endLine: 3 });
    expect(whole).not.toHaveProperty("nextOffset");
  });

  test("tells an offset behind the end, an empty file, and what is not text", async () => {
    expect(await backend.read("/src/a.ts", 7)).toEqual({ error: "Line offset 7 exceeds file length (3 lines)" });
    expect(await backend.read("/empty.txt")).toMatchObject({ content: expect.stringContaining("empty contents") });
    expect(await backend.read("/data.bin")).toEqual({ error: expect.stringContaining("not UTF-8 text") });
    expect(await backend.read("/pixel.png")).toEqual({
      content: new Uint8Array([0x89, 0x50, 0, 0xff]),
      mimeType: "image/png",
    });
  });

  test("does not bring a huge file into memory", async () => {
    await sandbox.execute("truncate -s 3G huge.txt huge.png || dd if=/dev/zero of=huge.txt bs=1 count=1 seek=3G");
    expect(await backend.read("/huge.txt")).toEqual({ error: expect.stringContaining("may be read at once") });
  });
});

test("failures are told, with the codes of the protocol where it has some", async () => {
  expect(await backend.read("/none")).toEqual({ error: expect.stringContaining('"/none" does not exist') });
  expect(await backend.ls("/src/a.ts")).toEqual({ error: expect.stringContaining("not a directory") });
  expect(await backend.edit("/src/a.ts", "four", "4")).toEqual({ error: expect.stringContaining("does not occur") });
  expect(await backend.delete("/none")).toEqual({ error: expect.stringContaining("does not exist") });
  expect(await backend.delete("/")).toEqual({ error: expect.stringContaining("leads out of the sandbox") });
  expect(await backend.write("/x.png", "not base64!")).toEqual({ error: expect.stringContaining("base64") });
  expect(await backend.downloadFiles(["/none", "/src", "../x", "/empty.txt"])).toEqual([
    { path: "/none", content: null, error: "file_not_found" },
    { path: "/src", content: null, error: "is_directory" },
    { path: "../x", content: null, error: "invalid_path" },
    { path: "/empty.txt", content: new Uint8Array(0), error: null },
  ]);
  expect(
    await backend.uploadFiles([
      ["/up/b.bin", new Uint8Array([1, 2])],
      ["/src", new Uint8Array(1)],
    ]),
  ).toEqual([
    { path: "/up/b.bin", error: null },
    { path: "/src", error: "is_directory" },
  ]);
});

describe("execute", () => {
  test("marks stderr and tells the exit code", async () => {
    expect(await backend.execute("echo out; echo err >&2")).toEqual({
      output: "out\n\n[stderr] err",
      exitCode: 0,
      truncated: false,
    });
    expect((await backend.execute("exit 2")).output).toBe("<no output>\n\nExit code: 2");
  });

  test("keeps what was printed before a time-out", async () => {
    const short = toDeepAgentsBackend(sandbox, { execute: { timeoutMs: 200 } });
    const { output, exitCode } = await short.execute("echo begun; sleep 20");
    expect(exitCode).toBe(124);
    expect(output).toMatch(/^begun\n\nError: The command took too long.*\n\nExit code: 124$/);
  });

  test("keeps 100,000 bytes", async () => {
    const { output, truncated } = await backend.execute("head -c 300000 /dev/zero | tr '\\0' x");
    expect(truncated).toBe(true);
    expect(output).toMatch(/^x{50000}\n\[\.\.\. 200000 bytes left out \.\.\.\]\nx{50000}$/);
  });
});

test("links to directories are told as directories, and deleted as links", async () => {
  await sandbox.execute("ln -s src link && ln -s /etc out");
  const listed = await backend.ls("/");
  expect(listed.error).toBeUndefined();
  const infos = "files" in listed ? listed.files : [];
  expect(infos.find((info) => info.path === at("link/"))?.is_dir).toBe(true);
  expect(infos.find((info) => info.path === at("out"))?.is_dir).toBe(false);
  expect(await backend.delete("/link")).toEqual({ path: at("link"), filesUpdate: null });
  expect(await backend.delete("/out")).toEqual({ path: at("out"), filesUpdate: null });
  expect(await sandbox.files.exists("src/a.ts")).toBe(true);
});
