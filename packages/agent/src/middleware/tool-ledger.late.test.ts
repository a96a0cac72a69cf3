// A run goes on while a tool's result is on its way into the ledger: how far, and what becomes of it.
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { ToolMessage } from "@langchain/core/messages";
import type { Scenario, ScriptedToolCall } from "@stigmer/scripted-model";
import { afterEach, expect, it, vi } from "vitest";
import { answer, collect, openWorkbench, toolResults, type Workbench } from "../__fixtures__/workbench.ts";
import type { AgentEvent, AgentOptions, RunControl } from "../agent.ts";
import { createMemoryLedger } from "../ledger/create-memory-ledger.ts";
import type { ToolCallLedger } from "../ledger/tool-call-ledger.ts";

let bench: Workbench;
afterEach(() => bench[Symbol.asyncDispose]());

const execute = (command: string): ScriptedToolCall => ({ name: "execute", args: { command } });
const main = (...turns: Scenario["turns"]): Scenario => ({ name: "main", turns });
const one: ScriptedToolCall = execute("echo one >> effects");
const two: ScriptedToolCall = execute("echo two >> effects");
const oneThenTwo = main({ toolCalls: [one] }, { toolCalls: [two] }, { text: "Done." });

const effects = (): string[] => {
  const file = join(bench.sandbox.root, "effects");
  return existsSync(file) ? readFileSync(file, "utf8").trim().split("\n") : [];
};

interface SlowLedger {
  readonly ledger: ToolCallLedger;
  readonly log: string[];
  /** Lets the n-th result (from 1) be written, or fail. */
  readonly ways: readonly PromiseWithResolvers<void>[];
}

/** Results stay on their way until they are let through. */
function slowLedger(inner: ToolCallLedger = createMemoryLedger()): SlowLedger {
  const log: string[] = [];
  const ways: PromiseWithResolvers<void>[] = [];
  return {
    log,
    ways,
    ledger: {
      begin(intent, signal) {
        log.push("begin");
        return inner.begin(intent, signal);
      },
      async finish(callKey, result, signal) {
        const way = Promise.withResolvers<void>();
        ways.push(way);
        log.push("finish");
        await way.promise;
        await inner.finish(callKey, result, signal);
        log.push("finished");
      },
    },
  };
}

async function go(options: Partial<AgentOptions>, control?: RunControl) {
  const agent = await bench.agent(options);
  const run = await agent.open({ threadId: "t", runId: "aex-1", input: "Go." });
  return collect(run, control);
}

const asked = (times: number): Promise<unknown> =>
  vi.waitUntil(() => bench.model.requests.length >= times, { timeout: 20_000 });
const refused = new Error("the fence is old");
const unwritten = {
  name: "AgentError",
  code: "checkpoint",
  message: expect.stringMatching(/^execute was run, but its result can't be written .*the fence is old\. /) as string,
};
/** What the thread says that tools gave, as a process would find it that goes on. */
async function storedResults(): Promise<string[]> {
  const tuple = await bench.checkpointer.getTuple({ configurable: { thread_id: "t", checkpoint_ns: "" } });
  const messages = (tuple?.checkpoint.channel_values["messages"] ?? []) as ToolMessage[];
  const pending = (tuple?.pendingWrites ?? []).flatMap(([, channel, value]) => (channel === "messages" ? [value] : []));
  return [...messages, ...(pending.flat() as ToolMessage[])]
    .filter(({ type }) => type === "tool")
    .map(({ text }) => text);
}

it("tells nobody else of a result that is on its way", async () => {
  bench = await openWorkbench([main({ toolCalls: [one] }, { text: "Done." })]);
  const { ledger, ways } = slowLedger();
  const agent = await bench.agent({ ledger });
  const run = await agent.open({ threadId: "t", runId: "aex-1", input: "Go." });
  const told: AgentEvent[] = [];
  const reading = (async () => {
    for await (const event of run.events()) told.push(event);
  })();
  await asked(2);
  await new Promise((resolve) => setTimeout(resolve, 300));
  expect(toolResults(told)).toEqual([]);
  ways[0]?.resolve();
  await reading;
  expect(toolResults(told)).toHaveLength(1);
});

it("lets a result leave the process before the model is asked again", async () => {
  bench = await openWorkbench([main({ toolCalls: [one] }, { text: "Done." })]);
  const order: string[] = [];
  const inner = createMemoryLedger();
  const ledger: ToolCallLedger = {
    begin: (intent, signal) => inner.begin(intent, signal),
    finish(callKey, result, signal) {
      // As a connection does, which sends at its next turn.
      setImmediate(() => order.push("result"));
      return inner.finish(callKey, result, signal);
    },
  };
  const observer: AgentOptions["observer"] = {
    modelCall() {
      order.push("model");
      return () => {};
    },
    toolCall: () => () => {},
  };
  expect(answer(await go({ ledger, observer }))).toBe("Done.");
  expect(order).toEqual(["model", "result", "model"]);
});

it("lets the model read a result that is on its way, and holds the next call until it is there", async () => {
  bench = await openWorkbench([oneThenTwo]);
  const { ledger, log, ways } = slowLedger();
  const events = go({ ledger });
  await asked(2);
  // The model has answered with the second call; all that is left to do is waiting.
  await new Promise((resolve) => setTimeout(resolve, 300));
  expect(log).toEqual(["begin", "finish"]);
  expect(effects()).toEqual(["one"]);
  ways[0]?.resolve();
  await vi.waitUntil(() => ways.length === 2, { timeout: 20_000 });
  ways[1]?.resolve();
  expect(answer(await events)).toBe("Done.");
  expect(log).toEqual(["begin", "finish", "finished", "begin", "finish", "finished"]);
});

it("keeps no checkpoint with a result before the ledger has it, and each after", async () => {
  bench = await openWorkbench([oneThenTwo]);
  const inner = createMemoryLedger();
  const slow = slowLedger(inner);
  const lost = go({ ledger: slow.ledger });
  await asked(2);
  expect(await storedResults()).toEqual([]);
  slow.ways[0]?.reject(refused);
  await expect(lost).rejects.toMatchObject(unwritten);
  // Whoever has the run now goes on from where this one was refused.
  expect(await storedResults()).toEqual([]);
  expect(effects()).toEqual(["one"]);

  const next = slowLedger(inner);
  const events = go({ ledger: next.ledger });
  await vi.waitUntil(() => next.ways.length === 1, { timeout: 20_000 });
  next.ways[0]?.resolve();
  const results = toolResults(await events);
  expect(results[0]?.content).toMatch(/outcome of this call is unknown/);
  expect(await storedResults()).toHaveLength(2);
});

it("fails the run before the next call is begun", async () => {
  bench = await openWorkbench([oneThenTwo]);
  const { ledger, log, ways } = slowLedger();
  const events = go({ ledger });
  await asked(2);
  await new Promise((resolve) => setTimeout(resolve, 300));
  ways[0]?.reject(refused);
  await expect(events).rejects.toMatchObject(unwritten);
  expect(log).toEqual(["begin", "finish"]);
  expect(effects()).toEqual(["one"]);
});

it("breaks off a model call when the result before it can't be written", async () => {
  bench = await openWorkbench([main({ toolCalls: [one] }, { text: "Never read.", startDelayMs: 60_000 })]);
  const { ledger, ways } = slowLedger();
  const events = go({ ledger });
  await asked(2);
  ways[0]?.reject(refused);
  await expect(events).rejects.toMatchObject(unwritten);
});

const ends = {
  resolve: async (events: Promise<AgentEvent[]>) => expect(answer(await events)).toBe("Done."),
  reject: async (events: Promise<AgentEvent[]>) => expect(events).rejects.toMatchObject(unwritten),
};

it.each(["resolve", "reject"] as const)("waits for the last result before the run ends: %s", async (fate) => {
  bench = await openWorkbench([main({ toolCalls: [one] }, { text: "Done." })]);
  const { ledger, ways } = slowLedger();
  let ended = false;
  const events = go({ ledger }).finally(() => (ended = true));
  events.catch(() => {});
  await asked(2);
  await new Promise((resolve) => setTimeout(resolve, 500));
  expect(ended).toBe(false);
  ways[0]?.[fate](refused as never);
  await ends[fate](events);
});

it("waits for it before the run comes to rest", async () => {
  // Slow enough to be asked to rest before the second call passes the gate.
  bench = await openWorkbench([
    main({ toolCalls: [one] }, { toolCalls: [two], startDelayMs: 1_000 }, { text: "Done." }),
  ]);
  const inner = createMemoryLedger();
  const { ledger, ways } = slowLedger(inner);
  const pause = new AbortController();
  let ended = false;
  const events = go({ ledger }, { pause: pause.signal }).finally(() => (ended = true));
  events.catch(() => {});
  await asked(2);
  pause.abort(new Error("paused"));
  await new Promise((resolve) => setTimeout(resolve, 1_500));
  expect(ended).toBe(false);
  ways[0]?.resolve();
  await expect(events).rejects.toThrow("paused");
  expect(answer(await go({ ledger: inner }))).toBe("Done.");
  expect(effects()).toEqual(["one", "two"]);
});

it("is stopped in the meantime: with the reason of that, and the result is written", async () => {
  bench = await openWorkbench([main({ toolCalls: [one] }, { text: "Never read.", startDelayMs: 60_000 })]);
  const { ledger, log, ways } = slowLedger();
  const stop = new AbortController();
  const reason = new Error("stopped");
  const events = go({ ledger }, { signal: stop.signal });
  events.catch(() => {});
  await asked(2);
  stop.abort(reason);
  await new Promise((resolve) => setTimeout(resolve, 100));
  ways[0]?.resolve();
  await expect(events).rejects.toBe(reason);
  expect(log).toEqual(["begin", "finish", "finished"]);
  expect(await storedResults()).toHaveLength(1);
});

it("holds the parent's next call until a sub-agent's last result is there", async () => {
  const task: ScriptedToolCall = {
    name: "task",
    args: { description: "Dig deep", subagent_type: "general-purpose" },
  };
  bench = await openWorkbench([
    { name: "sub", match: { human: "Dig deep" }, turns: [{ toolCalls: [one] }, { text: "Report." }] },
    main({ toolCalls: [task] }, { toolCalls: [two] }, { text: "Done." }),
  ]);
  const { ledger, log, ways } = slowLedger();
  const events = go({ ledger });
  await asked(4);
  await new Promise((resolve) => setTimeout(resolve, 300));
  expect(log).toEqual(["begin", "finish"]);
  ways[0]?.resolve();
  await vi.waitUntil(() => ways.length === 2, { timeout: 20_000 });
  ways[1]?.resolve();
  expect(answer(await events)).toBe("Done.");
  expect(effects()).toEqual(["one", "two"]);
});

it("fails the run when one of several results can't be written", async () => {
  bench = await openWorkbench([main({ toolCalls: [one, two] }, { toolCalls: [one] }, { text: "Done." })]);
  const { ledger, log, ways } = slowLedger();
  const events = go({ ledger });
  await asked(2);
  ways[1]?.reject(refused);
  ways[0]?.resolve();
  await expect(events).rejects.toMatchObject(unwritten);
  expect(log.toSorted()).toEqual(["begin", "begin", "finish", "finish", "finished"]);
  expect(await storedResults()).toEqual([]);
});

it("has no effect before the message that asks for it is on the disk itself", async () => {
  bench = await openWorkbench([main({ toolCalls: [one] }, { text: "Done." })]);
  const disk = Promise.withResolvers<void>();
  const flush = vi.spyOn(bench.checkpointer, "flush").mockReturnValueOnce(disk.promise);
  const events = go({ ledger: createMemoryLedger() });
  await vi.waitUntil(() => flush.mock.calls.length > 0, { timeout: 20_000 });
  await new Promise((resolve) => setTimeout(resolve, 200));
  expect(effects()).toEqual([]);
  disk.resolve();
  expect(answer(await events)).toBe("Done.");
  // Once more at the end: what the run has said stays said.
  expect(flush).toHaveBeenCalledTimes(2);
  flush.mockRejectedValueOnce(new Error("I/O error"));
  const agent = await bench.agent({ ledger: createMemoryLedger() });
  const run = await agent.open({ threadId: "u", runId: "aex-2", input: "Go." });
  await expect(collect(run)).rejects.toThrow("I/O error");
  expect(effects()).toEqual(["one"]);
});
