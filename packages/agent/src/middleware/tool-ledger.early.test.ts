// What is written down of a call before the graph has come to it.
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { AIMessage, type BaseMessage } from "@langchain/core/messages";
import type { ScriptedToolCall } from "@stigmer/scripted-model";
import { afterEach, expect, it, vi } from "vitest";
import { answer, collect, openWorkbench, type Workbench } from "../__fixtures__/workbench.ts";
import { createMemoryLedger } from "../ledger/create-memory-ledger.ts";
import type { ToolCallIntent, ToolCallLedger } from "../ledger/tool-call-ledger.ts";

let bench: Workbench;
afterEach(() => bench[Symbol.asyncDispose]());

const write = (file_path: string): ScriptedToolCall => ({ name: "write_file", args: { file_path, content: "text" } });
const execute: ScriptedToolCall = { name: "execute", args: { command: "echo ran > ran" } };

interface WatchedLedger extends ToolCallLedger {
  readonly intents: ToolCallIntent[];
}

function watchedLedger(inner: ToolCallLedger = createMemoryLedger()): WatchedLedger {
  const intents: ToolCallIntent[] = [];
  return {
    intents,
    begin(intent, signal) {
      intents.push(intent);
      return inner.begin(intent, signal);
    },
    finish: (callKey, result, signal) => inner.finish(callKey, result, signal),
  };
}

const open = async (ledger: ToolCallLedger) =>
  (await bench.agent({ ledger })).open({ threadId: "t", runId: "aex-1", input: "Go." });

it("begins repeatable calls while the graph is on its way to its tools, and others where they are made", async () => {
  bench = await openWorkbench([
    { name: "main", turns: [{ toolCalls: [write("a"), execute, write("b")] }, { text: "Done." }] },
  ]);
  const ledger = watchedLedger();
  const step = Promise.withResolvers<void>();
  const put = bench.checkpointer.putNext.bind(bench.checkpointer);
  // The step of the model is not over before what came of it is written.
  vi.spyOn(bench.checkpointer, "putNext").mockImplementation(async (config, checkpoint, ...rest) => {
    const { messages = [] } = checkpoint.channel_values as { messages?: BaseMessage[] };
    if (messages.some((message) => AIMessage.isInstance(message))) await step.promise;
    return put(config, checkpoint, ...rest);
  });
  const events = collect(await open(ledger));
  await vi.waitUntil(() => ledger.intents.length >= 2, { timeout: 20_000 });
  expect(ledger.intents.map(({ toolName, toolClass }) => [toolName, toolClass])).toEqual([
    ["write_file", "repeatable"],
    ["write_file", "repeatable"],
  ]);
  expect(existsSync(join(bench.sandbox.root, "a"))).toBe(false);
  step.resolve();
  expect(answer(await events)).toBe("Done.");
  expect(readFileSync(join(bench.sandbox.root, "ran"), "utf8")).toBe("ran\n");
  expect(readFileSync(join(bench.sandbox.root, "b"), "utf8")).toBe("text");
  // Each once.
  expect(ledger.intents.map(({ toolName }) => toolName).toSorted()).toEqual(["execute", "write_file", "write_file"]);
  expect(new Set(ledger.intents.map(({ callKey }) => callKey)).size).toBe(3);
});

it("lets an early intent leave the process before the step of its tools is worked on", async () => {
  bench = await openWorkbench([{ name: "main", turns: [{ toolCalls: [write("a")] }, { text: "Done." }] }]);
  const order: string[] = [];
  const inner = createMemoryLedger();
  const put = bench.checkpointer.putNext.bind(bench.checkpointer);
  vi.spyOn(bench.checkpointer, "putNext").mockImplementation(async (...args) => {
    order.push("step");
    return put(...args);
  });
  const ledger: ToolCallLedger = {
    begin(intent, signal) {
      // As a connection does, which sends at its next turn.
      setImmediate(() => order.push("left"));
      return inner.begin(intent, signal);
    },
    finish: (callKey, result, signal) => inner.finish(callKey, result, signal),
  };
  expect(answer(await collect(await open(ledger)))).toBe("Done.");
  expect(order.indexOf("left")).toBeLessThan(order.indexOf("step"));
});

it("makes no call whose early intent was refused", async () => {
  bench = await openWorkbench([{ name: "main", turns: [{ toolCalls: [write("a")] }, { text: "Done." }] }]);
  const refused = new Error("the fence is old");
  const ledger: ToolCallLedger = { ...createMemoryLedger(), begin: () => Promise.reject(refused) };
  await expect(collect(await open(ledger))).rejects.toThrow(/^write_file was not run: .*the fence is old/);
  expect(existsSync(join(bench.sandbox.root, "a"))).toBe(false);
});

it("writes down nothing early that LangChain will refuse", async () => {
  bench = await openWorkbench([
    { name: "main", turns: [{ toolCalls: [{ name: "write_file", args: { file_path: 7 } }] }, { text: "Done." }] },
  ]);
  const ledger = watchedLedger();
  expect(answer(await collect(await open(ledger)))).toBe("Done.");
  expect(ledger.intents).toEqual([]);
});
