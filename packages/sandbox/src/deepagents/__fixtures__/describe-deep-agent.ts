// A real deep agent over a sandbox, through the adapter: deepagents' own tools, LangGraph's own loop, Anthropic's own client.
// Only the model's words are scripted, at the HTTP boundary. And every method of deepagents' protocol by itself.
import { ChatAnthropic } from "@langchain/anthropic";
import { startScriptedModel, type Turn } from "@stigmer/scripted-model";
import { createDeepAgent, isSandboxBackend, type SandboxBackendProtocolV2 } from "deepagents";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Sandbox } from "../../sandbox.ts";
import { toDeepAgentsBackend } from "../index.ts";

const timeoutMs = 3000;

const turns: readonly Turn[] = [
  { toolCalls: [{ name: "write_file", args: { file_path: "notes/plan.md", content: "# Plan\n\n- find it\n" } }] },
  { toolCalls: [{ name: "read_file", args: { file_path: "notes/plan.md" } }] },
  {
    toolCalls: [
      { name: "edit_file", args: { file_path: "notes/plan.md", old_string: "find it", new_string: "found it" } },
    ],
  },
  {
    toolCalls: [
      { name: "ls", args: { path: "notes" } },
      { name: "glob", args: { pattern: "**/*.md" } },
      { name: "grep", args: { pattern: "found", output_mode: "content" } },
    ],
  },
  { toolCalls: [{ name: "execute", args: { command: "pwd; cat notes/plan.md; echo careful >&2; exit 3" } }] },
  { toolCalls: [{ name: "execute", args: { command: "{ while :; do sleep 0.1; date >>beats; done; } & echo started" } }] },
  { toolCalls: [{ name: "execute", args: { command: "until [ -s beats ]; do sleep 0.05; done; echo it beats" } }] },
  { toolCalls: [{ name: "execute", args: { command: "echo begun; sleep 1000 & sleep 1000" } }] },
  { text: "{{ result(\"execute\", \"(begun)\") }}, and out of time" },
];

interface Message {
  readonly type: string;
  readonly name?: string;
  readonly text: string;
}

/** Registers the tests for one backend. `make` gives a sandbox with an empty root. */
export function describeDeepAgent(name: string, make: () => Promise<Sandbox>): void {
  describe(`a deep agent on ${name}`, { timeout: 120_000 }, () => {
    let sandbox: Sandbox;

    beforeAll(async () => {
      sandbox = await make();
    });

    afterAll(async () => {
      await sandbox.dispose({ remove: true });
    });

    test("works with files and commands, in the background too, and survives a time-out", async () => {
      await using model = await startScriptedModel({
        scenario: { name: "deep agent", scenarios: [{ name: "work", turns: [...turns] }] },
      });
      const agent = createDeepAgent({
        model: new ChatAnthropic({
          model: "claude-sonnet-4-5",
          apiKey: "any",
          anthropicApiUrl: model.url,
          maxRetries: 0,
        }),
        backend: toDeepAgentsBackend(sandbox, { execute: { timeoutMs } }),
      });
      const { messages } = (await agent.invoke({ messages: [{ role: "user", content: "Work." }] })) as unknown as {
        messages: Message[];
      };
      const said = (tool: string): string[] =>
        messages.filter(({ type, name: from }) => type === "tool" && from === tool).map(({ text }) => text);

      expect(said("write_file")).toEqual([expect.stringContaining("Successfully wrote")]);
      expect(said("read_file")).toEqual([expect.stringContaining("- find it")]);
      expect(said("edit_file")).toEqual([expect.stringContaining("1 occurrence")]);
      const plan = `${sandbox.root}/notes/plan.md`;
      for (const tool of ["ls", "glob", "grep"]) expect(said(tool), tool).toEqual([expect.stringContaining(plan)]);
      const [shown, started, beats, late] = said("execute");
      expect(shown).toContain(`${sandbox.root}\n# Plan\n\n- found it\n\n[stderr] careful`);
      expect(shown).toContain("Exit code: 3");
      expect(started).toContain("started");
      expect(beats).toContain("it beats");
      expect(late).toMatch(/^begun\n\nError: The command took too long[^]*Exit code: 124/);
      expect(messages.at(-1)?.text).toBe("begun, and out of time");

      // The one is told to its user and can be ended; of the other nothing is left.
      const running = (await sandbox.processes()).filter((process) => process.running);
      expect(running.map(({ origin, command }) => [origin, command.includes("beats")])).toEqual([["execute", true]]);
      await running[0]?.kill();
      expect(running[0]?.running).toBe(false);
      expect(await sandbox.files.readText("notes/plan.md")).toBe("# Plan\n\n- found it\n");
    });

    test.each(Object.entries(methods))("the protocol's %s", async (_, use) => {
      const backend: Required<SandboxBackendProtocolV2> = toDeepAgentsBackend(sandbox);
      expect(isSandboxBackend(backend)).toBe(true);
      await use(backend, sandbox);
    });
  });
}

type Use = (backend: Required<SandboxBackendProtocolV2>, sandbox: Sandbox) => Promise<void>;

const text = new TextEncoder();

/** One for each member of the protocol: a new one of deepagents' makes this fail to compile. */
const methods: Readonly<Record<keyof SandboxBackendProtocolV2, Use>> = {
  async id(backend, sandbox) {
    expect(backend.id).toBe(sandbox.id);
  },
  async execute(backend) {
    expect(await backend.execute("echo out; echo err >&2; exit 4")).toEqual({
      output: "out\n\n[stderr] err\n\nExit code: 4",
      exitCode: 4,
      truncated: false,
    });
  },
  async write(backend, { files, root }) {
    expect(await backend.write("/w/new.txt", "ü\n")).toEqual({ path: `${root}/w/new.txt`, filesUpdate: null });
    expect(await backend.write(`${root}/w/new.txt`, "again")).not.toHaveProperty("error");
    expect(await files.readText("w/new.txt")).toBe("again");
    expect(await backend.write("/w", "x")).toEqual({ error: expect.stringContaining("is a directory") });
  },
  async read(backend) {
    await backend.write("/r/lines.txt", "one\ntwo\nthree");
    expect(await backend.read("/r/lines.txt", 1, 1)).toMatchObject({ content: "two", mimeType: "text/plain" });
    expect(await backend.read("/r/none.txt")).toEqual({ error: expect.stringMatching(/not found/i) });
  },
  async readRaw(backend) {
    await backend.write("/raw.txt", "raw");
    expect(await backend.readRaw("/raw.txt")).toMatchObject({ data: { content: "raw", mimeType: "text/plain" } });
    expect(await backend.readRaw("/raw/none")).toEqual({ error: expect.any(String) });
  },
  async edit(backend, { files }) {
    await backend.write("/e.txt", "a b a");
    expect(await backend.edit("/e.txt", "a", "c")).toEqual({ error: expect.stringMatching(/multiple/i) });
    expect(await backend.edit("/e.txt", "x", "c")).toEqual({ error: expect.stringMatching(/not found/i) });
    expect(await backend.edit("/e.txt", "a", "c", true)).toMatchObject({ occurrences: 2 });
    expect(await files.readText("e.txt")).toBe("c b c");
  },
  async ls(backend, { root }) {
    await backend.write("/l/file", "12345");
    await backend.write("/l/.hidden/file", "");
    const listed = await backend.ls("/l");
    expect(listed.files?.map(({ path, is_dir, size }) => [path, is_dir, is_dir === true ? 0 : size])).toEqual([
      [`${root}/l/.hidden/`, true, 0],
      [`${root}/l/file`, false, 5],
    ]);
    expect(await backend.ls("/l/none")).toEqual({ files: [] });
  },
  async glob(backend, { root }) {
    for (const path of ["g/a.ts", "g/b/c.ts", "g/b/d.js"]) await backend.write(path, "");
    const found = async (pattern: string, of = backend): Promise<(string | undefined)[] | undefined> =>
      (await of.glob(pattern, "/g")).files?.map(({ path }) => path);
    expect(await found("**/*.ts")).toEqual([`${root}/g/a.ts`, `${root}/g/b/c.ts`]);
    expect(await found("*")).toEqual([`${root}/g/a.ts`, `${root}/g/b/`]);
    expect(await found("none*")).toEqual([]);
  },
  async grep(backend, { root }) {
    await backend.write("/s/a.txt", "x (y)\nz\n(y)");
    await backend.write("/s/b.md", "(y)");
    const path = `${root}/s/a.txt`;
    expect(await backend.grep("(y)", "/s", "*.txt")).toMatchObject({
      matches: [
        { path, line: 1, text: "x (y)" },
        { path, line: 3, text: "(y)" },
      ],
    });
    expect(await backend.grep("(y)", "/s", null, 1)).toMatchObject({ matches: [{ path }], truncated: true });
  },
  async delete(backend, { files }) {
    await backend.write("/d/e/f", "x");
    expect(await backend.delete("/d")).not.toHaveProperty("error");
    expect(await files.exists("d")).toBe(false);
    expect(await backend.delete("/d")).toEqual({ error: expect.stringMatching(/not found/i) });
  },
  async uploadFiles(backend, { files }) {
    const sent = await backend.uploadFiles([
      ["/u/one", text.encode("1")],
      ["/u/two", new Uint8Array([0, 255])],
      ["/u", text.encode("no")],
    ]);
    expect(sent.map(({ error }) => error)).toEqual([null, null, "is_directory"]);
    expect([...(await files.read("u/two"))]).toEqual([0, 255]);
  },
  async downloadFiles(backend) {
    await backend.write("/down", "load");
    expect(await backend.downloadFiles(["/down", "/down/none", "/nothing"])).toEqual([
      { path: "/down", content: text.encode("load"), error: null },
      { path: "/down/none", content: null, error: "invalid_path" },
      { path: "/nothing", content: null, error: "file_not_found" },
    ]);
  },
};
