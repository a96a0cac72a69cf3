// What is told of a call must not be lost with the process: whoever goes on with the run would find a call that nobody asks for.
import { AIMessage, type BaseMessage } from "@langchain/core/messages";
import type { ScriptedToolCall } from "@stigmer/scripted-model";
import { afterEach, expect, it, vi } from "vitest";
import { openWorkbench, toolResults, type Workbench } from "../__fixtures__/workbench.ts";
import type { AgentEvent, AgentOptions } from "../agent.ts";
import type { ApprovalOptions } from "../approvals/approvals-middleware.ts";
import { createMemoryLedger } from "../ledger/create-memory-ledger.ts";

let bench: Workbench;
afterEach(() => bench[Symbol.asyncDispose]());

const touch: ScriptedToolCall = { id: "call", name: "execute", args: { command: "touch it" } };
const task: ScriptedToolCall = {
  id: "call",
  name: "task",
  args: { description: "Dig", subagent_type: "general-purpose" },
};
const rule = (action: "ask" | "deny"): ApprovalOptions => ({ agent: [{ commands: ["touch *"], action }] });
const calls: Readonly<Record<string, { call: ScriptedToolCall; approvals?: ApprovalOptions; first: string }>> = {
  "is run": { call: touch, first: "on_tool_start" },
  "changes the plan": {
    call: { id: "call", name: "write_todos", args: { todos: [{ content: "it", status: "pending" }] } },
    first: "on_tool_start",
  },
  "hands over a task": {
    call: task,
    first: "on_tool_start",
  },
  "waits for a person": { call: touch, approvals: rule("ask"), first: "on_tool_waiting" },
  "is refused": { call: touch, approvals: rule("deny"), first: "" },
};

/** No checkpoint with an answer of the model is written until it is let through; one with that text, where there is one. */
function blockAnswers({ checkpointer }: Workbench, text = ""): () => void {
  const put = checkpointer.putNext.bind(checkpointer);
  const open = Promise.withResolvers<void>();
  checkpointer.putNext = async (config, checkpoint, ...rest) => {
    const { messages = [] } = checkpoint.channel_values as { messages?: BaseMessage[] };
    if (messages.some((message) => AIMessage.isInstance(message) && message.text.includes(text))) await open.promise;
    return put(config, checkpoint, ...rest);
  };
  return open.resolve;
}

/** Goes on beside the test. */
async function start(options?: Partial<AgentOptions>) {
  const agent = await bench.agent({ ledger: createMemoryLedger(), ...options });
  const run = await agent.open({ threadId: "t", runId: "aex-1", input: "Go." });
  const told: AgentEvent[] = [];
  const reading = (async () => {
    for await (const event of run.events()) told.push(event);
  })().catch((error: unknown) => error);
  return {
    told,
    reading,
    ofTools: () => told.flatMap(({ mode, data }) => (mode === "tools" ? [(data as { event: string }).event] : [])),
  };
}

const open = (call: ScriptedToolCall): Promise<Workbench> =>
  openWorkbench([
    { name: "sub", match: { human: "Dig" }, turns: [{ text: "Found." }] },
    { name: "main", turns: [{ toolCalls: [call] }, { text: "Done." }] },
  ]);
const aMoment = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 300));

it.each(Object.entries(calls))(
  "tells of a call that %s once the thread has it",
  async (_, { call, approvals, first }) => {
    bench = await open(call);
    const letThrough = blockAnswers(bench);
    const { told, reading, ofTools } = await start({ approvals });
    await vi.waitUntil(() => told.some(({ mode }) => mode === "messages"), { timeout: 20_000 });
    await aMoment();
    expect(ofTools()).toEqual([]);
    letThrough();
    await reading;
    expect(ofTools()[0] ?? "").toBe(first);
  },
);

it("tells of a sub-agent's report once its thread has it", async () => {
  bench = await open(task);
  const letThrough = blockAnswers(bench, "Found.");
  const { told, reading } = await start();
  await vi.waitUntil(() => bench.model.requests.length >= 2, { timeout: 20_000 });
  await aMoment();
  expect(toolResults(told)).toEqual([]);
  letThrough();
  await reading;
  expect(toolResults(told)).toMatchObject([{ name: "task", content: "Found." }]);
});
