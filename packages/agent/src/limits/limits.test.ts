import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import type { Scenario, ScriptedToolCall, Turn } from "@stigmer/scripted-model";
import { afterEach, expect, it, vi } from "vitest";
import { answer, collect, openWorkbench, toolResults, type Workbench } from "../__fixtures__/workbench.ts";
import type { AgentEvent, AgentOptions, RunRequest } from "../agent.ts";

let bench: Workbench;
afterEach(() => bench[Symbol.asyncDispose]());

const execute = (command: string): ScriptedToolCall => ({ name: "execute", args: { command } });
const task = (description: string): ScriptedToolCall => ({
  name: "task",
  args: { description, subagent_type: "general-purpose" },
});
const main = (...turns: Turn[]): Scenario => ({ name: "main", turns });
const inWork = (file: string): string => join(bench.sandbox.root, file);
const effects = (): string[] =>
  existsSync(inWork("effects")) ? readFileSync(inWork("effects"), "utf8").trim().split("\n") : [];

async function go(options: Partial<AgentOptions>, request: Partial<RunRequest> = {}): Promise<AgentEvent[]> {
  const agent = await bench.agent(options);
  return collect(await agent.open({ threadId: "t", runId: "aex-1", input: "Go.", ...request }));
}

it("ends a run before one model call too many, and says which limit it was and how to raise it", async () => {
  bench = await openWorkbench([
    main(
      { toolCalls: [execute("echo one >> effects")] },
      { toolCalls: [execute("echo two >> effects")] },
      { text: "No." },
    ),
  ]);
  await expect(go({ limits: { maxModelCalls: 2 } })).rejects.toMatchObject({
    code: "limit-exceeded",
    message:
      "The run has reached its limit of 2 model calls: it has used 2 model calls. " +
      "Raise limits.maxModelCalls in the agent's spec, or in the execution's executionConfig for one run.",
  });
  expect(bench.model.requests).toHaveLength(2);
  expect(effects()).toEqual(["one", "two"]);
});

it("lets a run that needs no more than its limits come to its end", async () => {
  bench = await openWorkbench([main({ toolCalls: [execute("true")] }, { text: "Done." })]);
  expect(
    answer(await go({ limits: { maxModelCalls: 2, maxToolCalls: 1, maxTokens: 0, maxDurationSeconds: 600 } })),
  ).toBe("Done.");
});

it("counts the calls of sub-agents, at the same time too, and ends all that is under way", async () => {
  const slow = "touch started; sleep 600";
  bench = await openWorkbench([
    { name: "first", match: { firstHuman: "First" }, turns: [{ toolCalls: [execute(slow)] }] },
    {
      name: "second",
      match: { firstHuman: "Second" },
      turns: [
        { toolCalls: [execute("while [ ! -e started ]; do sleep 0.02; done")] },
        { toolCalls: [execute("echo no >> effects")] },
      ],
    },
    main({ toolCalls: [task("First"), task("Second")] }, { text: "No." }),
  ]);
  await expect(go({ limits: { maxToolCalls: 4 } })).rejects.toMatchObject({
    code: "limit-exceeded",
    message: expect.stringContaining("limit of 4 tool calls") as string,
  });
  expect(effects()).toEqual([]);
  expect(await bench.sandbox.processes()).toEqual([]);
});

it("makes no more than the allowed calls of many that are asked for at once", async () => {
  const calls = [1, 2, 3, 4, 5].map((n) => execute(`echo ${n} >> effects`));
  bench = await openWorkbench([main({ toolCalls: calls }, { text: "No." })]);
  const agent = await bench.agent({ limits: { maxToolCalls: 3 } });
  const run = await agent.open({ threadId: "t", runId: "aex-1", input: "Go." });
  const events: AgentEvent[] = [];
  const read = async (): Promise<void> => {
    for await (const event of run.events()) events.push(event);
  };
  await expect(read()).rejects.toMatchObject({ code: "limit-exceeded" });
  expect(effects().filter((effect) => Number(effect) > 3)).toEqual([]);
  expect(bench.model.requests).toHaveLength(1);
  // Those that had begun are told, though the limit ends them at once.
  const started = events.filter(({ data }) => (data as { event?: string }).event === "on_tool_start");
  expect(started).toHaveLength(3);
});

it("counts tokens and money, and what earlier attempts have used of them", async () => {
  const turns = [{ toolCalls: [execute("echo one >> effects")] }, { text: "Done." }];
  bench = await openWorkbench([main(...turns)]);
  const asked: string[] = [];
  const costOf: AgentOptions["costOf"] = ({ model, inputTokens, outputTokens }) => {
    asked.push(model);
    return (inputTokens + outputTokens) / 1000;
  };
  const used = { tokens: 999_999, costUsd: 4, activeMs: 0, modelCalls: 7, toolCallIds: ["earlier"] };
  await expect(go({ limits: { maxTokens: 1_000_000 } }, { used })).rejects.toMatchObject({
    code: "limit-exceeded",
    message: expect.stringMatching(
      /limit of 1,000,000 tokens: it has used 1,00\d,\d{3} tokens\. Raise limits\.maxTokens/,
    ) as string,
  });
  // Looked at before the tool too: what the model asked for is not done any more.
  expect(effects()).toEqual([]);
  expect(bench.model.requests).toHaveLength(1);
  await expect(go({ limits: { maxCostUsd: 4.001 }, costOf }, { used, runId: "aex-2" })).rejects.toMatchObject({
    message: expect.stringMatching(/limit of \$4\.00: it has used \$\d+\.\d\d\. Raise limits\.maxCostUsd/) as string,
  });
  expect(asked).toEqual(["claude-sonnet-4-5"]);
  const before = bench.model.requests.length;
  const again = { limits: { maxModelCalls: 7 } };
  await expect(go(again, { used, runId: "aex-3" })).rejects.toMatchObject({ code: "limit-exceeded" });
  expect(bench.model.requests).toHaveLength(before);
});

it("tells all that has happened before it throws, however slow the reader is", async () => {
  const turns = [1, 2, 3].map((n) => ({ text: `Step ${n}. `.repeat(20), toolCalls: [execute(`echo ${n}`)] }));
  bench = await openWorkbench([main(...turns, { text: "No." })]);
  for (const limits of [{ maxModelCalls: 3 }, { maxToolCalls: 2 }]) {
    const agent = await bench.agent({ limits });
    const run = await agent.open({ threadId: `t-${Object.keys(limits)[0]}`, runId: "aex-1", input: "Go." });
    const events: AgentEvent[] = [];
    const read = async (): Promise<void> => {
      for await (const event of run.events()) {
        await setTimeout(5);
        events.push(event);
      }
    };
    await expect(read()).rejects.toMatchObject({ code: "limit-exceeded" });
    const updates = (node: string) =>
      events.filter(({ mode, data }) => mode === "updates" && node in (data as Record<string, unknown>));
    expect(updates("model_request")).toHaveLength(3);
    expect(toolResults(events)).toHaveLength("maxToolCalls" in limits ? 2 : 3);
  }
});

it("does not count a call again that an earlier attempt had begun", async () => {
  bench = await openWorkbench([
    main({ toolCalls: [{ ...execute("echo one >> effects"), id: "call-1" }] }, { text: "Done." }),
  ]);
  const used = { tokens: 0, costUsd: 0, activeMs: 0, modelCalls: 0, toolCallIds: ["call-1"] };
  expect(answer(await go({ limits: { maxToolCalls: 1 } }, { used }))).toBe("Done.");
});

it("does not count a model's failed attempts", async () => {
  bench = await openWorkbench([main({ error: { status: 529, times: 2 }, text: "Done." })]);
  const model = { provider: "anthropic", model: "claude-sonnet-4-5", apiKey: "k", baseUrl: bench.model.url } as const;
  expect(answer(await go({ limits: { maxModelCalls: 1 }, model: { ...model, maxRetries: 2 } }))).toBe("Done.");
});

it("breaks off the command and the model call that are under way when the time is over", async () => {
  bench = await openWorkbench([
    { name: "tool", match: { human: "Tool." }, turns: [{ toolCalls: [execute("touch started; sleep 600")] }] },
    { name: "model", turns: [{ startDelayMs: 600_000, text: "Late." }] },
  ]);
  const limits = { maxDurationSeconds: 3_600 };
  const used = { tokens: 0, costUsd: 0, activeMs: 3_600_000 - 3_000, modelCalls: 0, toolCallIds: [] };
  for (const [runId, input] of [
    ["aex-1", "Tool."],
    ["aex-2", "Model."],
  ] as const) {
    await expect(go({ limits }, { used, runId, input })).rejects.toMatchObject({
      code: "limit-exceeded",
      message: expect.stringMatching(
        /^The run has reached its limit of 3,600 seconds of work: it has used 3,6\d\d/,
      ) as string,
    });
  }
  expect(existsSync(inWork("started"))).toBe(true);
  expect(await bench.sandbox.processes()).toEqual([]);
});

it("leaves a thread on which the next run goes on", async () => {
  bench = await openWorkbench([
    { name: "next", match: { human: "And now?" }, turns: [{ text: "Hello again." }] },
    main({ toolCalls: [execute("true")] }, { text: "No." }),
  ]);
  await expect(go({ limits: { maxModelCalls: 1 } })).rejects.toMatchObject({ code: "limit-exceeded" });
  expect(answer(await go({}, { runId: "aex-2", input: "And now?" }))).toBe("Hello again.");
});

const nudge = /You have made this very call 3 times in a row/;

it("tells an agent that goes round in circles so, and ends it when that does not help", async () => {
  bench = await openWorkbench([main(...Array.from({ length: 9 }, () => ({ toolCalls: [execute("echo same")] })))]);
  await expect(go({})).rejects.toMatchObject({
    code: "loop-detected",
    message: expect.stringContaining("called execute 6 times in a row with the same arguments") as string,
  });
  const bodies = bench.model.requests.map(({ body }) => JSON.stringify((body as { messages: unknown }).messages));
  expect(bodies).toHaveLength(6);
  expect(bodies.map((body) => nudge.test(body))).toEqual([false, false, false, true, true, true]);
  // What was said once stays as it was, so that a provider's cache holds.
  expect(bodies[5]).toContain("4 times in a row");
  const state = await bench.checkpointer.getTuple({ configurable: { thread_id: "t" } });
  expect(JSON.stringify(state?.checkpoint.channel_values)).not.toMatch(nudge);
});

it("finds a circle also when the run was broken off on the way", async () => {
  const same = { toolCalls: [execute("echo same")] };
  bench = await openWorkbench([main(same, same, { ...same, error: { status: 500, times: 1 } }, same, same)]);
  const options = { limits: { maxRepeatedCalls: 2 } };
  await expect(go(options)).rejects.toMatchObject({ code: "model-overloaded" });
  await expect(go(options)).rejects.toMatchObject({ code: "loop-detected" });
  expect(bench.model.requests).toHaveLength(5);
  expect(JSON.stringify(bench.model.requests.at(-1)!.body)).toContain("2 times in a row");
});

it("ends the whole run for a sub-agent that goes round in circles", async () => {
  const same = { toolCalls: [execute("echo same")] };
  bench = await openWorkbench([
    { name: "sub", match: { firstHuman: "Circle" }, turns: Array.from({ length: 9 }, () => same) },
    main({ toolCalls: [task("Circle")] }, { text: "No." }),
  ]);
  await expect(go({ limits: { maxRepeatedCalls: 2 } })).rejects.toMatchObject({ code: "loop-detected" });
  expect(bench.model.requests.filter(({ scenario }) => scenario === "sub")).toHaveLength(4);
});

it("leaves alone what waits for a change and gets it, what differs, and what a person asks for again", async () => {
  const poll = { toolCalls: [execute("echo x >> polls; wc -l < polls")] };
  const say = { toolCalls: [execute("echo same")] };
  bench = await openWorkbench([
    { name: "again", match: { human: "Again." }, turns: [say, say, { text: "Done." }] },
    main(poll, poll, poll, poll, say, say, { text: "Done." }),
  ]);
  expect(answer(await go({}))).toBe("Done.");
  expect(answer(await go({}, { runId: "aex-2", input: "Again." }))).toBe("Done.");
  expect(JSON.stringify(bench.model.requests.map(({ body }) => body))).not.toContain("very call");
});

it("puts every tool's long result aside, and leaves read_file's pages and short results alone", async () => {
  bench = await openWorkbench([
    { name: "sub", match: { firstHuman: "Write" }, turns: [{ text: "y".repeat(50_000) }] },
    main(
      {
        toolCalls: [
          { ...execute("seq 1 30000"), id: "long" },
          { ...task("Write"), id: "report" },
          { ...execute("echo hi"), id: "short" },
        ],
      },
      { toolCalls: [{ name: "read_file", args: { file_path: "/large_tool_results/report.txt" } }] },
      { text: "Done." },
    ),
  ]);
  const results = toolResults(await go({ toolOutputLimit: 10_000 }));
  const find = (text: string): string => results.find(({ content }) => content.includes(text))?.content ?? "";
  expect(find("/large_tool_results/long.txt")).toMatch(
    /^1\n2\n[^]*About 28,\d{3} lines are left out here\.\]\n\n\d+\n[^]*30000\n\nExit code: 0$/,
  );
  expect(find("/large_tool_results/report.txt").length).toBeLessThan(10_000);
  expect(results.map(({ content }) => content)).toContain("hi\n\nExit code: 0");
  expect(readFileSync(join(bench.directory, "spill", "large_tool_results", "report.txt"), "utf8")).toBe(
    "y".repeat(50_000),
  );
  expect(results.at(-1)).toMatchObject({ name: "read_file", status: "success" });
  expect(results.at(-1)!.content.length).toBeLessThanOrEqual(10_000);
});

it("waits for nobody: a run at rest uses no time", async () => {
  bench = await openWorkbench([
    main({ toolCalls: [execute("touch started; while [ ! -e go ]; do sleep 0.02; done")] }, { text: "Done." }),
  ]);
  const agent = await bench.agent({ limits: { maxDurationSeconds: 30 } });
  const pause = new AbortController();
  const run = collect(await agent.open({ threadId: "t", runId: "aex-1", input: "Go." }), { pause: pause.signal });
  await vi.waitUntil(() => existsSync(inWork("started")), { timeout: 20_000, interval: 20 });
  const reason = new Error("a pause");
  pause.abort(reason);
  writeFileSync(inWork("go"), "");
  await expect(run).rejects.toBe(reason);
  vi.useFakeTimers({ toFake: ["Date"] });
  try {
    vi.setSystemTime(Date.now() + 3_600_000);
    expect(answer(await go({ limits: { maxDurationSeconds: 30 } }))).toBe("Done.");
  } finally {
    vi.useRealTimers();
  }
});
