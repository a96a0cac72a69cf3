import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { ToolMessage } from "@langchain/core/messages";
import { type StructuredTool, tool, type ToolRuntime } from "@langchain/core/tools";
import { Command, interrupt } from "@langchain/langgraph";
import type { Scenario, ScriptedToolCall } from "@stigmer/scripted-model";
import { afterEach, describe, expect, it, vi } from "vitest";
import { z } from "zod";
import { answer, collect, openWorkbench, toolResults, type Workbench } from "../__fixtures__/workbench.ts";
import type { AgentOptions, RunControl, RunRequest } from "../agent.ts";
import { createMemoryLedger } from "../ledger/create-memory-ledger.ts";
import type { ToolCallIntent, ToolCallLedger } from "../ledger/tool-call-ledger.ts";

let bench: Workbench;
afterEach(() => bench[Symbol.asyncDispose]());

type Turns = Scenario["turns"];

const execute = (command: string, id?: string): ScriptedToolCall => ({ id, name: "execute", args: { command } });
const task = (description: string): ScriptedToolCall => ({
  name: "task",
  args: { description, subagent_type: "general-purpose" },
});
const main = (...turns: Turns): Scenario => ({ name: "main", turns });
const sub = (human: string, ...turns: Turns): Scenario => ({ name: human, match: { human }, turns });

const inWork = (file: string): string => join(bench.sandbox.root, file);
const effects = (): string[] =>
  existsSync(inWork("effects")) ? readFileSync(inWork("effects"), "utf8").trim().split("\n") : [];

interface Hooks {
  begin?(intent: ToolCallIntent, signal?: AbortSignal): unknown;
  /** After the inner ledger has the result. */
  finished?(callKey: string, signal?: AbortSignal): unknown;
}

interface Spied {
  readonly ledger: ToolCallLedger;
  readonly log: string[];
  readonly intents: ToolCallIntent[];
}

function spyOn(inner: ToolCallLedger, hooks: Hooks = {}): Spied {
  const log: string[] = [];
  const intents: ToolCallIntent[] = [];
  const names = new Map<string, string>();
  return {
    log,
    intents,
    ledger: {
      async begin(intent, signal) {
        intents.push(intent);
        names.set(intent.callKey, intent.toolName);
        await hooks.begin?.(intent, signal);
        const start = await inner.begin(intent, signal);
        log.push(`begin ${intent.toolName}: ${start.kind}`);
        return start;
      },
      async finish(callKey, result, signal) {
        await inner.finish(callKey, result, signal);
        log.push(`finish ${names.get(callKey)}`);
        await hooks.finished?.(callKey, signal);
      },
    },
  };
}

/** A run like any other; the next of the same bench goes on with it. */
async function go(options: Partial<AgentOptions>, control?: RunControl, request?: Pick<RunRequest, "restedFor">) {
  const agent = await bench.agent(options);
  const run = await agent.open({ threadId: "t", runId: "aex-1", input: "Go.", ...request });
  return { run, events: await collect(run, control) };
}

/** Stands for a crash after the result was written down and before the checkpoint: the run ends there. */
function crashOnce(): Hooks {
  let crashed = false;
  return {
    finished() {
      if (crashed) return;
      crashed = true;
      throw new Error("crashed");
    },
  };
}

it("writes each call down before its effect, and its result after; in the root and in sub-agents", async () => {
  bench = await openWorkbench([
    sub("Dig deep", { toolCalls: [execute("echo deep >> effects")] }, { text: "Report." }),
    main(
      { toolCalls: [execute("echo one >> effects")] },
      { toolCalls: [task("Dig deep"), { name: "write_todos", args: { todos: [] } }] },
      { toolCalls: [{ name: "write_file", args: { file_path: "a.txt", content: "a" } }] },
      { text: "Done." },
    ),
  ]);
  const seen: number[] = [];
  const look = (): void => void seen.push(effects().length);
  const { ledger, log, intents } = spyOn(createMemoryLedger(), { begin: look, finished: look });
  const { events } = await go({ ledger });
  expect(answer(events)).toBe("Done.");
  // `task` and `write_todos` change the run's own state alone.
  const once = ["begin execute: started", "finish execute"];
  expect(log).toEqual([...once, ...once, "begin write_file: started", "finish write_file"]);
  expect(seen).toEqual([0, 1, 1, 2, 2, 2]);
  expect(intents.map(({ toolClass }) => toolClass)).toEqual(["once", "once", "repeatable"]);
});

it("writes nothing down for what never reaches a tool", async () => {
  const notes = tool(async () => "noted", {
    name: "note",
    description: "Notes.",
    schema: { type: "object", properties: { text: { type: "string" } }, required: ["text"] },
  }) as unknown as StructuredTool;
  bench = await openWorkbench([
    main(
      {
        toolCalls: [
          { name: "launch_rocket" },
          { name: "execute", args: { cmd: "ls" } },
          { name: "note", args: { text: 1 } },
        ],
      },
      { text: "Sorry." },
    ),
  ]);
  const { ledger, log } = spyOn(createMemoryLedger());
  const { events } = await go({ ledger, tools: [notes] });
  expect(log).toEqual([]);
  expect(toolResults(events).map(({ status }) => status)).toEqual(["error", "error", "error"]);
});

describe("when a run goes on after a crash", () => {
  it("gives a finished call's result, without its effect", async () => {
    const turns: Turns = [{ toolCalls: [execute("echo one >> effects; echo out; exit 3")] }, { text: "Done." }];
    bench = await openWorkbench([main(...turns)]);
    const { ledger, log } = spyOn(createMemoryLedger(), crashOnce());
    await expect(go({ ledger })).rejects.toMatchObject({
      code: "checkpoint",
      message: expect.stringMatching(/^execute was run, but its result can't be written .*crashed\. /) as string,
    });
    const { run, events } = await go({ ledger });
    expect(run.position).toBe("resumed");
    expect(log).toEqual(["begin execute: started", "finish execute", "begin execute: recorded"]);
    expect(effects()).toEqual(["one"]);
    expect(toolResults(events)).toMatchObject([
      { status: "success", content: expect.stringMatching(/^out\n[^]*code: 3/) },
    ]);
    const done = await (await bench.agent()).open({ threadId: "t", runId: "aex-1", input: "Go." });
    expect((done.messages[2] as ToolMessage).artifact).toMatchObject({ exitCode: 3, truncated: false });
  });

  it("gives a failed call's error, without trying again", async () => {
    let calls = 0;
    const broken = tool(
      async () => {
        calls += 1;
        throw new Error("The printer is on fire");
      },
      { name: "print", description: "Prints.", schema: z.object({}) },
    ) as unknown as StructuredTool;
    bench = await openWorkbench([main({ toolCalls: [{ name: "print" }] }, { text: "Oh." })]);
    const { ledger, log } = spyOn(createMemoryLedger(), crashOnce());
    await expect(go({ ledger, tools: [broken] })).rejects.toThrow(/crashed/);
    const { events } = await go({ ledger, tools: [broken] });
    expect(log.at(-1)).toBe("begin print: recorded");
    expect(toolResults(events)).toEqual([{ name: "print", status: "error", content: "Error: The printer is on fire" }]);
    expect(calls).toBe(1);
  });

  it("gives the short form of 1 MB of output again, whose file is there", async () => {
    const command = "echo one >> effects; seq 1 150000 | head -c 1000000";
    bench = await openWorkbench([
      main(
        { toolCalls: [execute(command, "big")] },
        {
          toolCalls: [
            { name: "read_file", args: { file_path: "/large_tool_results/big.txt", offset: 99_998, limit: 2 } },
          ],
        },
        { text: "Done." },
      ),
    ]);
    const { ledger, log } = spyOn(createMemoryLedger(), crashOnce());
    await expect(go({ ledger })).rejects.toThrow(/crashed/);
    expect(existsSync(join(bench.directory, "spill", "large_tool_results", "big.txt"))).toBe(true);
    const { events } = await go({ ledger });
    expect(log.slice(0, 3)).toEqual(["begin execute: started", "finish execute", "begin execute: recorded"]);
    expect(effects()).toEqual(["one"]);
    const [first, page] = toolResults(events);
    expect(first?.content.length).toBeLessThan(10_000);
    expect(first?.content).toContain("/large_tool_results/big.txt");
    expect(page?.content).toContain("99999\n100000");
  });

  it("gives a command of the graph again, with all that it does", async () => {
    let calls = 0;
    const plan = tool(
      async (_: unknown, { toolCallId = "" }: ToolRuntime) => {
        calls += 1;
        const reply = new ToolMessage({ content: "planned", tool_call_id: toolCallId, name: "plan" });
        return new Command({ update: { messages: [reply], todos: [{ content: "Rest", status: "pending" }] } });
      },
      { name: "plan", description: "Plans.", schema: z.object({}) },
    ) as unknown as StructuredTool;
    bench = await openWorkbench([main({ toolCalls: [{ name: "plan" }] }, { text: "Done." })]);
    const { ledger, log } = spyOn(createMemoryLedger(), crashOnce());
    await expect(go({ ledger, tools: [plan] })).rejects.toThrow(/crashed/);
    const { events } = await go({ ledger, tools: [plan] });
    const done = await (await bench.agent()).open({ threadId: "t", runId: "aex-1", input: "Go." });
    expect(log.at(-1)).toBe("begin plan: recorded");
    expect(calls).toBe(1);
    const updates = events.flatMap(({ mode, data }) => (mode === "updates" ? [data] : []));
    expect(updates).toContainEqual({
      tools: expect.objectContaining({ todos: [{ content: "Rest", status: "pending" }] }) as object,
    });
    expect(done.messages.map(({ text }) => text)).toEqual(["Go.", "", "planned", "Done."]);
  });

  it("tells the model of a call whose outcome is unknown, and doesn't repeat it", async () => {
    const command = "echo one >> effects; touch started; sleep 60";
    bench = await openWorkbench([
      main(
        { toolCalls: [{ name: "write_file", args: { file_path: "a", content: "a" } }, execute(command)] },
        { text: "I will look." },
      ),
    ]);
    const { ledger, log } = spyOn(createMemoryLedger());
    const stop = new AbortController();
    const reason = new Error("stopped");
    const stopped = go({ ledger }, { signal: stop.signal });
    await vi.waitUntil(() => existsSync(inWork("started")) && log.includes("finish write_file"), { timeout: 10_000 });
    stop.abort(reason);
    await expect(stopped).rejects.toBe(reason);

    const { events } = await go({ ledger });
    expect(answer(events)).toBe("I will look.");
    expect(log.filter((line) => line.includes("execute"))).toEqual([
      "begin execute: started",
      "begin execute: outcome-unknown",
    ]);
    expect(effects()).toEqual(["one"]);
    const [told] = toolResults(events).filter(({ name }) => name === "execute");
    expect(told).toMatchObject({ status: "error" });
    expect(told?.content).toMatch(
      /outcome of this call is unknown[^]*NOT repeated[^]*echo one >> effects[^]*Look at what/,
    );
    expect(JSON.stringify(bench.model.requests.at(-1)?.body)).toContain("outcome of this call is unknown");
    const done = await (await bench.agent()).open({ threadId: "t", runId: "aex-1", input: "Go." });
    const message = done.messages.find(({ name }) => name === "execute");
    expect(message?.additional_kwargs).toEqual({ tool_call_outcome: "unknown" });
  });

  it("does a repeatable call again", async () => {
    let calls = 0;
    const stop = new AbortController();
    const lookUp = tool(
      async () => {
        calls += 1;
        if (calls > 1) return "found";
        stop.abort(new Error("stopped"));
        return new Promise(() => {});
      },
      {
        name: "look_up",
        description: "Looks.",
        schema: z.object({}),
        metadata: { annotations: { readOnlyHint: true } },
      },
    ) as unknown as StructuredTool;
    bench = await openWorkbench([main({ toolCalls: [{ name: "look_up" }] }, { text: "Done." })]);
    const { ledger, log } = spyOn(createMemoryLedger());
    await expect(go({ ledger, tools: [lookUp] }, { signal: stop.signal })).rejects.toThrow("stopped");
    const { events } = await go({ ledger, tools: [lookUp] });
    expect(toolResults(events)).toMatchObject([{ content: "found" }]);
    expect(log).toEqual(["begin look_up: started", "begin look_up: started", "finish look_up"]);
  });

  it("asks a person about an unknown outcome first, when that is the policy", async () => {
    const command = "echo one >> effects; touch started; sleep 60";
    bench = await openWorkbench([
      sub("Dig deep", { toolCalls: [execute(command)] }, { text: "Report." }),
      main({ toolCalls: [task("Dig deep")] }, { text: "Done." }),
    ]);
    const options: Partial<AgentOptions> = { ledger: createMemoryLedger(), unknownOutcome: "pause" };
    const stop = new AbortController();
    const stopped = go(options, { signal: stop.signal });
    await vi.waitUntil(() => existsSync(inWork("started")), { timeout: 10_000 });
    stop.abort(new Error("stopped"));
    await expect(stopped).rejects.toThrow("stopped");

    const asked = bench.model.requests.length;
    await expect(go(options)).rejects.toMatchObject({
      code: "paused",
      message: expect.stringMatching(/outcome of a call of execute is unknown.*echo one.*resume the run/) as string,
    });
    expect(bench.model.requests).toHaveLength(asked);
    // Whoever asked may have died before anybody heard: then it is asked again.
    const paused: unknown = await go(options, {}, { restedFor: ["another reason"] }).catch((error: unknown) => error);
    expect(paused).toMatchObject({ code: "paused", message: expect.stringContaining("echo one") as string });
    expect(bench.model.requests).toHaveLength(asked);
    const { events } = await go(options, {}, { restedFor: ["another reason", (paused as Error).message] });
    expect(answer(events)).toBe("Done.");
    expect(effects()).toEqual(["one"]);
    expect(JSON.stringify(bench.model.requests[asked]?.body)).toContain("outcome of this call is unknown");
  });

  it("leaves open what an interrupt broke off", async () => {
    const ask = tool(async () => String(interrupt("May I?")), {
      name: "ask",
      description: "Asks.",
      schema: z.object({}),
    }) as unknown as StructuredTool;
    bench = await openWorkbench([main({ toolCalls: [{ name: "ask" }] }, { text: "Done." })]);
    const { ledger, log } = spyOn(createMemoryLedger());
    const { events } = await go({ ledger, tools: [ask] });
    expect(log).toEqual(["begin ask: started"]);
    expect(toolResults(events)).toEqual([]);
  });
});

describe("calls that look alike", () => {
  it("makes two equal calls of one turn twice", async () => {
    bench = await openWorkbench([
      main({ toolCalls: [execute("echo same >> effects"), execute("echo same >> effects")] }, { text: "Done." }),
    ]);
    const { ledger, log } = spyOn(createMemoryLedger());
    await go({ ledger });
    expect(effects()).toEqual(["same", "same"]);
    expect(log.filter((line) => line === "begin execute: started")).toHaveLength(2);
  });

  it("takes an id that comes again in a later turn for another call", async () => {
    bench = await openWorkbench([
      main(
        { toolCalls: [execute("echo first | tee -a effects", "call_0")] },
        { toolCalls: [execute("echo second | tee -a effects", "call_0")] },
        { text: "Done." },
      ),
    ]);
    const { ledger } = spyOn(createMemoryLedger());
    const { events } = await go({ ledger });
    expect(effects()).toEqual(["first", "second"]);
    expect(toolResults(events).map(({ content }) => content.split("\n")[0])).toEqual(["first", "second"]);
  });

  it("keeps sub-agents apart that get the same answers to the same task", async () => {
    bench = await openWorkbench([
      sub("Dig deep", { toolCalls: [execute("echo deep >> effects")] }, { text: "Report." }),
      main({ toolCalls: [task("Dig deep"), task("Dig deep")] }, { text: "Done." }),
    ]);
    const { ledger, intents } = spyOn(createMemoryLedger());
    await go({ ledger });
    expect(effects()).toEqual(["deep", "deep"]);
    expect(new Set(intents.map(({ callKey }) => callKey)).size).toBe(2);
  });
});

describe("when the ledger fails", () => {
  const refuse: Hooks = {
    begin() {
      throw new Error("connect ECONNREFUSED 127.0.0.1:1");
    },
  };

  it("runs no tool, and ends the run", async () => {
    bench = await openWorkbench([main({ toolCalls: [execute("echo one >> effects")] }, { text: "Done." })]);
    const { ledger } = spyOn(createMemoryLedger(), refuse);
    await expect(go({ ledger })).rejects.toMatchObject({
      name: "AgentError",
      code: "checkpoint",
      message: expect.stringMatching(/^execute was not run: .*ECONNREFUSED/) as string,
    });
    expect(effects()).toEqual([]);
    expect(bench.model.requests).toHaveLength(1);
  });

  it("ends the run also from within a sub-agent, whose parent is told nothing", async () => {
    bench = await openWorkbench([
      sub("Dig deep", { toolCalls: [execute("echo deep >> effects")] }, { text: "Report." }),
      main({ toolCalls: [task("Dig deep")] }, { text: "Done." }),
    ]);
    const { ledger } = spyOn(createMemoryLedger(), refuse);
    await expect(go({ ledger })).rejects.toMatchObject({ code: "checkpoint" });
    expect(effects()).toEqual([]);
    expect(bench.model.requests).toHaveLength(2);
  });

  it("stops waiting for it when the run is stopped, with the reason of that", async () => {
    bench = await openWorkbench([main({ toolCalls: [execute("echo one >> effects")] }, { text: "Done." })]);
    const stop = new AbortController();
    const reason = new Error("stopped");
    const { ledger } = spyOn(createMemoryLedger(), {
      begin: (_, signal) =>
        new Promise((_resolve, reject) => {
          signal?.addEventListener("abort", () => reject(new Error("no longer waiting")));
          stop.abort(reason);
        }),
    });
    await expect(go({ ledger }, { signal: stop.signal })).rejects.toBe(reason);
    expect(effects()).toEqual([]);
  });

  it("writes down what has happened though the run is stopped meanwhile, before its events end", async () => {
    bench = await openWorkbench([main({ toolCalls: [execute("echo one >> effects")] }, { text: "Done." })]);
    const stop = new AbortController();
    const reason = new Error("stopped");
    const inner = createMemoryLedger();
    const aborted: unknown[] = [];
    const ledger: ToolCallLedger = {
      begin: (intent, signal) => inner.begin(intent, signal),
      async finish(callKey, result, signal) {
        stop.abort(reason);
        await new Promise((resolve) => setTimeout(resolve, 100));
        aborted.push(signal?.aborted);
        await inner.finish(callKey, result, signal);
      },
    };
    await expect(go({ ledger }, { signal: stop.signal })).rejects.toBe(reason);
    expect(aborted).toEqual([false]);
    const { events } = await go({ ledger: inner });
    expect(toolResults(events)).toMatchObject([{ status: "success" }]);
    expect(effects()).toEqual(["one"]);
  });
});

it("begins no call whose message is not in a checkpoint yet, also in sub-agents", async () => {
  bench = await openWorkbench([
    sub("Dig deep", { toolCalls: [execute("echo deep >> effects")] }, { text: "Report." }),
    main({ toolCalls: [execute("echo one >> effects")] }, { toolCalls: [task("Dig deep")] }, { text: "Done." }),
  ]);
  // Slow as a database far away: what is not awaited is late.
  const stored = new Set<string>();
  const put = bench.checkpointer.putNext.bind(bench.checkpointer);
  bench.checkpointer.putNext = async (config, checkpoint, ...rest) => {
    await new Promise((resolve) => setTimeout(resolve, 50));
    const done = await put(config, checkpoint, ...rest);
    for (const { id } of (checkpoint.channel_values["messages"] ?? []) as { id: string }[]) stored.add(id);
    return done;
  };
  const known: boolean[] = [];
  const { ledger } = spyOn(createMemoryLedger(), {
    begin: ({ callKey }) => known.push([...stored].some((id) => callKey.split("/").includes(id))),
  });
  await go({ ledger });
  expect(effects()).toEqual(["one", "deep"]);
  expect(known).toEqual([true, true]);
});

it("leaves out a result that no ledger could keep, and says so", async () => {
  const picture = { type: "image_url", image_url: { url: `data:image/png;base64,${"x".repeat(33 * 1024 * 1024)}` } };
  const flood = tool(async () => [picture], {
    name: "flood",
    description: "Floods.",
    schema: z.object({}),
  }) as unknown as StructuredTool;
  bench = await openWorkbench([main({ toolCalls: [{ name: "flood" }] }, { text: "Done." })]);
  const { events } = await go({ ledger: createMemoryLedger(), tools: [flood] });
  expect(toolResults(events)).toMatchObject([
    { status: "error", content: expect.stringMatching(/^flood was run, but its result is left out: 34 MB/) as string },
  ]);
});
