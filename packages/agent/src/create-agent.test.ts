import { existsSync, readdirSync, statSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { type StructuredTool, tool } from "@langchain/core/tools";
import type { Scenario } from "@stigmer/scripted-model";
import { afterEach, expect, it } from "vitest";
import { z } from "zod";
import { openMcpNotes } from "./__fixtures__/mcp-notes.ts";
import { answer, collect, openWorkbench, toolResults, type Workbench } from "./__fixtures__/workbench.ts";

let bench: Workbench;
afterEach(() => bench[Symbol.asyncDispose]());

function script(turns: Scenario["turns"], match?: Scenario["match"]): Scenario {
  return { name: JSON.stringify(match ?? "main"), match, turns };
}

async function run(scenarios: readonly Scenario[], input = "Go.") {
  bench = await openWorkbench(scenarios);
  const agent = await bench.agent();
  const opened = await agent.open({ threadId: "t1", runId: "aex-1", input });
  return { agent, opened, events: await collect(opened) };
}

it("works with files and commands until the model is done", async () => {
  const { events, opened, agent } = await run([
    script([
      { text: "Writing.", toolCalls: [{ name: "write_file", args: { file_path: "a/note.txt", content: "hello\n" } }] },
      { toolCalls: [{ name: "execute", args: { command: "pwd; cat a/note.txt; echo oops >&2; exit 3" } }] },
      { toolCalls: [{ name: "read_file", args: { file_path: "a/note.txt" } }] },
      { text: "Done." },
    ]),
  ]);
  expect(opened.position).toBe("fresh");
  expect(await readFile(join(bench.sandbox.root, "a/note.txt"), "utf8")).toBe("hello\n");
  const results = toolResults(events);
  expect(results.map(({ name, status }) => [name, status])).toEqual([
    ["write_file", "success"],
    ["execute", "success"],
    ["read_file", "success"],
  ]);
  const output = results[1]!.content;
  expect(output).toContain(`${bench.sandbox.root}\nhello`);
  expect(output).toContain("[stderr] oops");
  expect(output).toMatch(/Exit code: 3$/);
  expect(results[2]!.content).toContain("hello");
  expect(answer(events)).toBe("Writing.Done.");
  expect(new Set(events.map(({ mode }) => mode))).toEqual(new Set(["messages", "updates", "tools"]));

  const again = await agent.open({ threadId: "t1", runId: "aex-1", input: "Go." });
  expect(again.position).toBe("finished");
  expect(again.messages.map(({ type }) => type)).toEqual(["human", "ai", "tool", "ai", "tool", "ai", "tool", "ai"]);
  expect(again.messages[0]!.id).toBe("aex-1");
  expect(await collect(again)).toEqual([]);
});

it("tells the model who it is, where it works, and what its tools are", async () => {
  bench = await openWorkbench([script([{ text: "Hi." }])]);
  const agent = await bench.agent({
    instructions: "Be kind.",
    skillsSection: "## Skills\n- tidy",
    context: { organization: "acme", workingDirectory: bench.sandbox.root, date: "2026-11-21" },
  });
  await collect(await agent.open({ threadId: "t", runId: "r", input: "Hi" }));
  const body = bench.model.requests[0]!.body as { system: unknown; tools: { name: string; input_schema: object }[] };
  const system = JSON.stringify(body.system);
  for (const part of [
    "Be kind.",
    "- tidy",
    "Organization: acme",
    `Working directory: ${bench.sandbox.root}`,
    "2026-11-21",
  ]) {
    expect(system).toContain(part);
  }
  const names = body.tools.map(({ name }) => name);
  expect(names.toSorted()).toEqual(
    [
      "delete",
      "edit_file",
      "execute",
      "glob",
      "grep",
      "ls",
      "read_file",
      "task",
      "write_file",
      "write_todos",
    ].toSorted(),
  );
  expect(JSON.stringify(body.tools.find(({ name }) => name === "execute"))).toContain("timeout_seconds");
});

it("streams a command's output while it runs, and holds its time-out", async () => {
  const { events } = await run([
    script([
      { toolCalls: [{ id: "c1", name: "execute", args: { command: "echo one; sleep 60", timeout_seconds: 0.5 } }] },
      { text: "Done." },
    ]),
  ]);
  const pieces = events.flatMap(({ mode, data }) =>
    mode === "tools" && (data as { event: string }).event === "on_tool_event" ? [data] : [],
  );
  expect(pieces).toEqual([
    expect.objectContaining({
      toolCallId: "c1",
      name: "execute",
      data: { type: "output", stream: "stdout", text: "one\n" },
    }),
  ]);
  expect(toolResults(events)[0]!.content).toMatch(/^one\n[^]*took too long[^]*Exit code: 124$/);
});

it("goes on when tools fail, don't exist, or are called wrongly, and tells nothing of its own files", async () => {
  const { events } = await run([
    script([
      {
        toolCalls: [
          { name: "read_file", args: { file_path: "missing.txt" } },
          { name: "launch_rocket", args: {} },
          { name: "execute", args: { cmd: "ls" } },
          { name: "task", args: { description: "x", subagent_type: "nobody" } },
        ],
      },
      { text: "Sorry." },
    ]),
  ]);
  const results = toolResults(events);
  expect(Object.fromEntries(results.map(({ name, status }) => [name, status]))).toEqual({
    read_file: "error",
    launch_rocket: "error",
    execute: "error",
    task: "error",
  });
  const text = JSON.stringify(results);
  expect(text).toContain("launch_rocket");
  expect(text).toContain("did not match expected schema");
  expect(text).toContain("nobody");
  expect(text).not.toMatch(/node_modules|file:\/\/|\bat .*:\d+:\d+/);
  expect(answer(events)).toBe("Sorry.");
});

it("tells the model when the sandbox is gone", async () => {
  bench = await openWorkbench([
    script([
      {
        toolCalls: [
          { name: "execute", args: { command: "ls" } },
          { name: "ls", args: {} },
        ],
      },
      { text: "Oh." },
    ]),
  ]);
  const agent = await bench.agent();
  await bench.sandbox.dispose();
  const events = await collect(await agent.open({ threadId: "t", runId: "r", input: "Go." }));
  expect(
    toolResults(events)
      .map(({ name, status }) => `${name} ${status}`)
      .toSorted(),
  ).toEqual(["execute error", "ls error"]);
  expect(answer(events)).toBe("Oh.");
});

it("puts long results aside, outside the user's tree, where the model can read on", async () => {
  const path = "/large_tool_results/big.txt";
  const { events } = await run([
    script([
      { toolCalls: [{ id: "big", name: "execute", args: { command: "seq 1 30000" } }] },
      { toolCalls: [{ name: "read_file", args: { file_path: path, offset: 20000, limit: 2 } }] },
      { toolCalls: [{ name: "grep", args: { pattern: "29999" } }] },
      { text: "Done." },
    ]),
  ]);
  const [command, page, search] = toolResults(events);
  expect(command!.content).toContain(path);
  expect(command!.content.length).toBeLessThan(10_000);
  expect(page!.content).toContain("20001\n20002");
  expect(search!.content).toContain("No matches");
  expect(readdirSync(bench.sandbox.root)).toEqual([]);
  expect(readdirSync(join(bench.directory, "spill"))).toEqual(["large_tool_results"]);
  expect(statSync(join(bench.directory, "spill")).mode & 0o777).toBe(0o700);
});

it("makes no directory for long results where there are none, also for a model that looks for some", async () => {
  const { events } = await run([
    script([
      { toolCalls: [{ name: "ls", args: { path: "/large_tool_results" } }] },
      { toolCalls: [{ name: "grep", args: { pattern: "x", path: "/conversation_history" } }] },
      { toolCalls: [{ name: "read_file", args: { file_path: "/large_tool_results/none.txt" } }] },
      { text: "Done." },
    ]),
  ]);
  const [list, search, page] = toolResults(events);
  expect(list!.content).toContain("No files found");
  expect(search!.content).toContain("No matches");
  expect(page!.content).toContain("Error");
  expect(existsSync(join(bench.directory, "spill"))).toBe(false);
});

it("remembers earlier runs of the thread, and another thread's not", async () => {
  const { agent } = await run([script([{ text: "Hello." }])], "I am Ada.");
  await collect(await agent.open({ threadId: "t1", runId: "aex-2", input: "Who am I?" }));
  await collect(await agent.open({ threadId: "t2", runId: "aex-3", input: "Who am I?" }));
  const asked = bench.model.requests.map(({ body }) => JSON.stringify((body as { messages: unknown }).messages));
  expect(asked[1]).toContain("I am Ada.");
  expect(asked[2]).not.toContain("I am Ada.");
  const first = await agent.open({ threadId: "t1", runId: "aex-1", input: "I am Ada." });
  expect(first.position).toBe("finished");
  expect(first.messages.map(({ text }) => text)).toEqual(["I am Ada.", "Hello."]);
});

it("hands tasks to sub-agents, which have the same tools, manners and place", async () => {
  bench = await openWorkbench([
    script(
      [
        { toolCalls: [{ name: "launch_rocket" }, { name: "execute", args: { command: "echo deep > deep.txt" } }] },
        { text: "Wrote it." },
      ],
      { system: "You write files." },
    ),
    script([{ toolCalls: [{ name: "execute", args: { command: "pwd" } }] }, { text: "Looked." }], {
      human: "Look around",
    }),
    script([
      {
        toolCalls: [
          { name: "task", args: { description: "Write deep.txt", subagent_type: "writer" } },
          { name: "task", args: { description: "Look around", subagent_type: "general-purpose" } },
        ],
      },
      { text: "All done." },
    ]),
  ]);
  const agent = await bench.agent({
    subAgents: [{ name: "writer", description: "Writes files.", instructions: "You write files." }],
  });
  const events = await collect(await agent.open({ threadId: "t", runId: "r", input: "Go." }));
  expect(await readFile(join(bench.sandbox.root, "deep.txt"), "utf8")).toBe("deep\n");
  const results = toolResults(events);
  const reported = JSON.stringify((bench.model.requests.at(-1)!.body as { messages: unknown }).messages);
  expect(reported).toContain("Wrote it.");
  expect(reported).toContain("Looked.");
  expect(results.some(({ content }) => content.includes(bench.sandbox.root))).toBe(true);
  expect(answer(events)).toBe("All done.");
  const systems = bench.model.requests.map(({ body }) => JSON.stringify((body as { system: unknown }).system));
  expect(systems.every((system) => system.includes(`Working directory: ${bench.sandbox.root}`))).toBe(true);
  // What the sub-agents' steps left is gone once the main agent went on.
  const namespaces = new Set<string>();
  for await (const { config } of bench.checkpointer.list({ configurable: { thread_id: "t" } })) {
    namespaces.add(config.configurable?.["checkpoint_ns"] as string);
  }
  expect([...namespaces]).toEqual([""]);
});

it("says what is wrong with a description", async () => {
  bench = await openWorkbench([script([{ text: "Hi." }])]);
  const twice = { name: "a", description: "d", instructions: "i" };
  await expect(bench.agent({ subAgents: [twice, twice], recursionLimit: 0 })).rejects.toMatchObject({
    code: "invalid-agent",
    message: expect.stringMatching(/two sub-agents are called "a"; recursionLimit is 0/) as string,
  });
});

it("has tools of others beside its own, in sub-agents too, and refuses two of one name", async () => {
  await using notes = await openMcpNotes();
  const { tools } = notes;
  const task = { name: "task", args: { description: "Dig deep", subagent_type: "general-purpose" } };
  bench = await openWorkbench([
    script([{ text: "Report." }], { human: "Dig deep" }),
    script([{ toolCalls: [task] }, { text: "Done." }]),
  ]);
  const agent = await bench.agent({ tools });
  await collect(await agent.open({ threadId: "t", runId: "r", input: "Go." }));
  const offered = bench.model.requests.map(({ body }) =>
    (body as { tools: { name: string }[] }).tools.flatMap(({ name }) => (name.startsWith("notes__") ? [name] : [])),
  );
  expect(offered).toEqual(Array.from({ length: 3 }, () => ["notes__append", "notes__count"]));

  const named = (name: string): StructuredTool =>
    tool(async () => "", { name, description: "d", schema: z.object({}) }) as unknown as StructuredTool;
  await expect(
    bench.agent({ tools: [...tools, named("task"), tools[0]!, named("write_todos")] }),
  ).rejects.toMatchObject({
    code: "invalid-agent",
    message: expect.stringMatching(
      /a tool is called "task", as one that every agent has; two tools are called "notes__append"; a tool is called "write_todos"/,
    ) as string,
  });
});

it("ends a run that takes too many steps", async () => {
  const step = { toolCalls: [{ name: "ls", args: {} }] };
  bench = await openWorkbench([script([step, step, step, step, step, step, step, step, { text: "x" }])]);
  const agent = await bench.agent({ recursionLimit: 5 });
  const opened = await agent.open({ threadId: "t", runId: "r", input: "Go." });
  await expect(collect(opened)).rejects.toMatchObject({ code: "recursion-limit" });
});

it("tries again when the model is overloaded, within its limit", async () => {
  const overloaded = { status: 529, message: "Overloaded", times: 1 };
  bench = await openWorkbench([script([{ error: overloaded, text: "Hello." }])]);
  const agent = await bench.agent({
    model: { provider: "anthropic", model: "m", apiKey: "k", baseUrl: bench.model.url, maxRetries: 1 },
  });
  expect(answer(await collect(await agent.open({ threadId: "t", runId: "r", input: "Go." })))).toBe("Hello.");
  expect(bench.model.requests.map(({ status }) => status)).toEqual([529, 200]);
});
