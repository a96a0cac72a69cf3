// Runs real deep agents against a scripted model and writes down what they stream, one event a line:
//   pnpm --filter @stigmer/status record-fixtures [case …]
// Then `vitest run packages/status -u` renews the statuses beside them; read that diff before you commit it.
import { writeFile } from "node:fs/promises";
import { ChatAnthropic } from "@langchain/anthropic";
import { BaseMessage } from "@langchain/core/messages";
import { HumanMessage, ToolMessage } from "@langchain/core/messages";
import type { StructuredTool } from "@langchain/core/tools";
import { isGraphDrained, MemorySaver, RunControl } from "@langchain/langgraph";
import { startScriptedModel, type Scenario, type ScriptedModel } from "@stigmer/scripted-model";
import { createDeepAgent } from "deepagents";
import { modelRetryMiddleware, todoListMiddleware, tool, toolErrorMiddleware } from "langchain";
import { z } from "zod";
import type { RecordedOutcome } from "../src/__fixtures__/replay.ts";

interface Case {
  /** The turns of the main agent; sub-agents are scenarios of their own, matched by their task. */
  readonly turns: Scenario["turns"];
  readonly subAgents?: readonly Scenario[];
  /** The turns that follow on `thenSay`. */
  readonly steered?: Scenario["turns"];
  /** What was said on the thread before, by an earlier run that is not recorded. */
  readonly before?: string;
  /** Aborts the run when this holds for an event. */
  readonly cancelWhen?: (event: Recorded) => boolean;
  /** Asks the run to rest when this holds for an event. */
  readonly pauseWhen?: (event: Recorded) => boolean;
  /** Whether model calls that fail are made again, once. */
  readonly retries?: boolean;
  /** Aborts the run when this holds for an event, and goes on from its checkpoint, as another runner would. */
  readonly resumeAfter?: (event: Recorded) => boolean;
  /** What is said to the run when it would end. */
  readonly thenSay?: { readonly id: string; readonly text: string };
}

interface Recorded {
  readonly namespace: readonly string[];
  readonly mode: string;
  readonly data: unknown;
}

const call = (
  name: string,
  args: Record<string, unknown>,
  id: string,
): { name: string; args: Record<string, unknown>; id: string } => ({
  name,
  args,
  id: `toolu_${id}`,
});
const todo = (content: string, status: string): { content: string; status: string } => ({ content, status });

const cases: Readonly<Record<string, Case>> = {
  "plain-text": { turns: [{ text: "Grüezi 👋🏽, all is well.", chunkSize: 3 }] },
  "tool-call": {
    turns: [{ text: "I add.", toolCalls: [call("add", { a: 1, b: 2 }, "1")] }, { text: "It is 3." }],
  },
  "two-parallel-tools": {
    turns: [
      { toolCalls: [call("wait", { ms: 40 }, "1"), call("add", { a: 1, b: 2 }, "2")] },
      { text: "Both are done." },
    ],
  },
  "equal-calls": {
    turns: [
      { toolCalls: [call("add", { a: 1, b: 2 }, "1"), call("add", { a: 1, b: 2 }, "2")] },
      { toolCalls: [call("add", { a: 1, b: 2 }, "3")] },
      { text: "Thrice 3." },
    ],
  },
  "failing-tool": {
    turns: [{ toolCalls: [call("fail", { why: "no such host" }, "1")] }, { text: "That did not work." }],
  },
  "bad-arguments": {
    turns: [{ toolCalls: [call("add", { a: "one" }, "1")] }, { text: "I misused it." }],
  },
  "unknown-tool": {
    turns: [{ toolCalls: [call("divide", { a: 1, b: 0 }, "1")] }, { text: "There is none." }],
  },
  todos: {
    turns: [
      {
        text: "I plan.",
        toolCalls: [call("write_todos", { todos: [todo("Read", "in_progress"), todo("Write", "pending")] }, "1")],
      },
      {
        toolCalls: [
          call(
            "write_todos",
            { todos: [todo("Read", "completed"), todo("Check", "in_progress"), todo("Write", "pending")] },
            "2",
          ),
        ],
      },
      { text: "On it." },
    ],
  },
  "parallel-sub-agents": {
    turns: [
      {
        text: "I delegate.",
        toolCalls: [
          call("task", { description: "Count the apples", subagent_type: "general-purpose" }, "1"),
          call("task", { description: "Count the pears", subagent_type: "general-purpose" }, "2"),
        ],
      },
      { text: "Five pieces of fruit." },
    ],
    subAgents: [
      {
        name: "apples",
        match: { human: "apples" },
        turns: [{ text: "Counting apples.", toolCalls: [call("add", { a: 1, b: 1 }, "3")] }, { text: "Two apples." }],
      },
      {
        name: "pears",
        match: { human: "pears" },
        turns: [{ thinking: "Pears now.", toolCalls: [call("add", { a: 1, b: 2 }, "4")] }, { text: "Three pears." }],
      },
    ],
  },
  thinking: { turns: [{ thinking: "Is it so? It is.", text: "It is so." }] },
  "model-error": { turns: [{ text: "I begin to say something long", error: { status: 500, afterChunks: 2 } }] },
  "cancelled-in-text": {
    turns: [{ text: "I speak very slowly and at length", chunkDelayMs: 20 }],
    cancelWhen: ({ data }) => JSON.stringify(data).includes("slowly"),
  },
  "cancelled-in-tool": {
    turns: [{ toolCalls: [call("wait", { ms: 60_000 }, "1"), call("add", { a: 1, b: 2 }, "2")] }],
    cancelWhen: ({ mode, data }) =>
      mode === "updates" && JSON.stringify(data).includes("toolu_2") && JSON.stringify(data).includes('"tools"'),
  },
  "outcome-unknown": {
    turns: [
      { text: "I send it.", toolCalls: [call("lose", { what: "letter" }, "1"), call("add", { a: 1, b: 2 }, "2")] },
      { text: "I don't know whether it was sent." },
    ],
  },
  steered: {
    turns: [{ text: "I add.", toolCalls: [call("add", { a: 1, b: 2 }, "1")] }, { text: "Three." }],
    steered: [{ text: "Four, too.", toolCalls: [call("add", { a: 2, b: 2 }, "2")] }, { text: "Three and four." }],
    thenSay: { id: "m1", text: "Please add two and two, too." },
  },
  "paused-in-sub-agents": {
    turns: [
      {
        text: "I delegate.",
        toolCalls: [
          call("task", { description: "Count the apples", subagent_type: "general-purpose" }, "1"),
          call("task", { description: "Count the pears", subagent_type: "general-purpose" }, "2"),
          call("add", { a: 1, b: 2 }, "3"),
        ],
      },
      { text: "Never said." },
    ],
    subAgents: [
      {
        name: "apples",
        match: { human: "apples" },
        turns: [{ toolCalls: [call("wait", { ms: 80 }, "4")] }, { text: "Never." }],
      },
      {
        name: "pears",
        match: { human: "pears" },
        turns: [{ toolCalls: [call("wait", { ms: 40 }, "5")] }, { text: "Never." }],
      },
    ],
    pauseWhen: ({ mode, data }) => mode === "tools" && JSON.stringify(data).includes("toolu_4"),
  },
  "nested-sub-agents": {
    turns: [
      {
        text: "I delegate.",
        toolCalls: [
          call("task", { description: "Lead the apples", subagent_type: "lead" }, "1"),
          call("task", { description: "Lead the pears", subagent_type: "lead" }, "2"),
        ],
      },
      { text: "Both are led." },
    ],
    subAgents: ["apples", "pears"].flatMap((fruit, side) => [
      {
        name: `lead ${fruit}`,
        match: { human: `Lead the ${fruit}` },
        turns: [
          {
            text: `I lead the ${fruit}.`,
            toolCalls: [
              call("task", { description: `Dig for ${fruit}`, subagent_type: "digger" }, `${side}-1`),
              call("add", { a: 1, b: side }, `${side}-2`),
            ],
          },
          { text: `The ${fruit} are led.` },
        ],
      },
      {
        name: `dig ${fruit}`,
        match: { human: `Dig for ${fruit}` },
        turns: [
          {
            thinking: "Deep down.",
            toolCalls: [
              call("task", { description: `Carry ${fruit}`, subagent_type: "general-purpose" }, `${side}-3`),
              call("wait", { ms: 30 }, `${side}-4`),
            ],
          },
          { text: `Dug ${fruit}.` },
        ],
      },
      {
        name: `carry ${fruit}`,
        match: { human: `Carry ${fruit}` },
        turns: [
          { toolCalls: [call("add", { a: 2, b: side }, `${side}-5`), call("add", { a: 2, b: side }, `${side}-6`)] },
          { text: `Carried ${fruit}.` },
        ],
      },
    ]),
  },
  "retried-model-error": {
    retries: true,
    turns: [
      {
        text: "I say something long, and at the second attempt I come to its end.",
        toolCalls: [call("add", { a: 1, b: 2 }, "1")],
        error: { status: 529, afterChunks: 2, times: 1 },
      },
      { text: "Three." },
    ],
  },
  "retried-in-sub-agents": {
    retries: true,
    turns: [
      {
        toolCalls: [
          call("task", { description: "Count the apples", subagent_type: "general-purpose" }, "1"),
          call("task", { description: "Count the pears", subagent_type: "general-purpose" }, "2"),
        ],
      },
      { text: "Counted." },
    ],
    subAgents: [
      {
        name: "apples",
        match: { human: "apples" },
        turns: [{ text: "Two apples, counted slowly.", error: { status: 500, afterChunks: 2, times: 1 } }],
      },
      { name: "pears", match: { human: "pears" }, turns: [{ text: "Three pears, said slowly.", chunkDelayMs: 10 }] },
    ],
  },
  multimodal: {
    turns: [
      { text: "I look.", toolCalls: [call("look", { at: "the sky" }, "1")] },
      { thinking: "Blue.", text: "It is blue." },
    ],
  },
  "mcp-tools": {
    turns: [
      {
        toolCalls: [
          call("files__read_text_file", { input: '{"path":"a.txt"}' }, "1"),
          call("files__sum", { kwargs: { numbers: [1, 2] } }, "2"),
        ],
      },
      { text: "Read and summed." },
    ],
  },
  "failing-sub-agent": {
    turns: [
      { toolCalls: [call("task", { description: "Count the apples", subagent_type: "general-purpose" }, "1")] },
      { text: "It failed." },
    ],
    subAgents: [
      {
        name: "apples",
        match: { human: "apples" },
        turns: [{ text: "I count", error: { status: 500, afterChunks: 1 } }],
      },
    ],
  },
  "resumed-in-sub-agent": {
    turns: [
      { toolCalls: [call("task", { description: "Count the apples", subagent_type: "general-purpose" }, "1")] },
      { text: "Counted." },
    ],
    subAgents: [
      {
        name: "apples",
        match: { human: "apples" },
        turns: [
          { text: "I count.", toolCalls: [call("add", { a: 1, b: 1 }, "2")] },
          { text: "I count them all, one after the other.", chunkDelayMs: 20 },
        ],
      },
    ],
    resumeAfter: ({ data }) => JSON.stringify(data).includes(" all, one"),
  },
  "multi-turn": {
    before: "Hello",
    turns: [{ text: "As I said before.", toolCalls: [call("add", { a: 2, b: 2 }, "9")] }, { text: "Four." }],
  },
};

const add = tool(async ({ a, b }: { a: number; b: number }) => String(a + b), {
  name: "add",
  description: "Adds two numbers.",
  schema: z.object({ a: z.number(), b: z.number() }),
});
const fail = tool(
  async ({ why }: { why: string }): Promise<string> => {
    throw new Error(why);
  },
  { name: "fail", description: "Fails.", schema: z.object({ why: z.string() }) },
);
const wait = tool(
  async ({ ms }: { ms: number }, { signal }: { signal?: AbortSignal }) =>
    new Promise<string>((resolve, reject) => {
      const timer = setTimeout(() => resolve(`waited ${ms} ms`), ms);
      signal?.addEventListener("abort", () => {
        clearTimeout(timer);
        reject(signal.reason as Error);
      });
    }),
  { name: "wait", description: "Waits.", schema: z.object({ ms: z.number() }) },
);

/** What the agent's tool-call ledger says of a call whose process was lost. */
const lose = tool(
  async (_: { what: string }, { toolCall }: { toolCall?: { id?: string } }) =>
    new ToolMessage({
      content: "The outcome of this call is unknown. It was NOT repeated.",
      tool_call_id: toolCall?.id ?? "",
      name: "lose",
      status: "error",
      additional_kwargs: { tool_call_outcome: "unknown" },
    }),
  { name: "lose", description: "Sends something, perhaps.", schema: z.object({ what: z.string() }) },
);

/** What MCP's adapters make of a result with structured content: the JSON text of its text block. */
const mcp = (name: string, schema: z.ZodObject, structuredContent: object, text: string): StructuredTool =>
  tool(async () => JSON.stringify({ type: "text", text, structuredContent }), {
    name: `files__${name}`,
    description: "A tool of an MCP server.",
    schema,
  }) as unknown as StructuredTool;
const mcpTools = [
  mcp("read_text_file", z.object({ input: z.string() }), { lines: 2 }, "one\ntwo"),
  mcp("sum", z.object({ kwargs: z.object({ numbers: z.array(z.number()) }) }), { sum: 3 }, "3"),
];
const look = tool(
  async ({ at }: { at: string }) => [
    { type: "text", text: `This is ${at}. ` },
    { type: "image", mimeType: "image/png", data: "iVBORw0KGgo=" },
  ],
  { name: "look", description: "Looks.", schema: z.object({ at: z.string() }) },
);

async function record(name: string, example: Case): Promise<void> {
  const { turns, subAgents = [], before, cancelWhen, pauseWhen, resumeAfter, thenSay, steered = [] } = example;
  const message = `Do ${name}`;
  const scenarios: Scenario[] = [...subAgents, { name: "main", match: { human: message }, turns }];
  if (thenSay !== undefined) scenarios.push({ name: "steered", match: { human: thenSay.text }, turns: steered });
  if (before !== undefined)
    scenarios.push({
      name: "before",
      turns: [{ text: "Hello yourself.", toolCalls: [call("add", { a: 9, b: 9 }, "0")] }, { text: "Eighteen." }],
    });
  await using model = await startScriptedModel({ scenario: { name, scenarios } });
  const agent = createAgent(model, example.retries === true);
  const stop = new AbortController();
  const crash = new AbortController();
  const control = new RunControl();
  const config = { configurable: { thread_id: name }, signal: stop.signal, control, durability: "sync" as const };
  if (before !== undefined) await agent.invoke(said("earlier", before), config);

  const events: (Recorded | { resumed: unknown })[] = [];
  let outcome: RecordedOutcome = { kind: "completed" };
  const listen = async (input: never): Promise<void> => {
    const stream = await agent.stream(input, {
      ...config,
      signal: crash.signal.aborted ? stop.signal : AbortSignal.any([stop.signal, crash.signal]),
      streamMode: ["messages", "updates", "tools", "custom"],
      subgraphs: true,
    });
    for await (const [namespace, mode, data] of stream as AsyncIterable<[string[], string, unknown]>) {
      const event = { namespace, mode, data: pick(data) };
      events.push(event);
      if (cancelWhen?.(event)) stop.abort(new Error("The user pressed Ctrl-C."));
      if (pauseWhen?.(event)) control.requestDrain();
      if (resumeAfter?.(event)) crash.abort(new Error("The runner died."));
    }
  };
  try {
    await listen(said(`aex-${name}`, message)).catch(async (error: unknown) => {
      if (!crash.signal.aborted) throw error;
      const { values } = await agent.getState(config);
      events.push({ resumed: pick((values as { messages: unknown }).messages) });
      await listen(null as never);
    });
    if (thenSay !== undefined) {
      // As @stigmer/agent does it: the event, then the message as new input of the thread.
      const id = `aex-${name}/${thenSay.id}`;
      const heard = { inbox: { messages: [new HumanMessage({ id, content: thenSay.text })] } };
      events.push({ namespace: [], mode: "updates", data: pick(heard) });
      await listen(said(id, thenSay.text));
    }
  } catch (error) {
    if (stop.signal.aborted) outcome = { kind: "cancelled", reason: "The user pressed Ctrl-C." };
    else if (isGraphDrained(error as Error)) outcome = { kind: "paused", reason: "Ada wants to look." };
    else outcome = { kind: "failed", error: rootCause(error) };
  }
  const lines = [{ executionId: `aex-${name}`, message, outcome }, ...events].map((line) => JSON.stringify(line));
  const file = new URL(`../src/__fixtures__/${name}.events.jsonl`, import.meta.url);
  await writeFile(file, `${withoutChance(lines.join("\n"))}\n`);
  console.log(`${name}: ${events.length} events, ${outcome.kind}`);
}

function createAgent(model: ScriptedModel, retries: boolean): ReturnType<typeof createDeepAgent> {
  const middleware = (): never =>
    [
      todoListMiddleware(),
      toolErrorMiddleware({ onError: (error) => `Error: ${rootCause(error)}` }),
      ...(retries ? [modelRetryMiddleware({ maxRetries: 1, initialDelayMs: 10, onFailure: "error" })] : []),
    ] as never;
  const tools = [add, fail, wait, lose, look, ...mcpTools];
  const chat = new ChatAnthropic({
    model: "claude-sonnet-4-5",
    apiKey: "scripted",
    anthropicApiUrl: model.url,
    maxRetries: 0,
  });
  // deepagents gives sub-agents none of their own; and none of the middleware.
  const general = { name: "general-purpose", description: "Does anything.", systemPrompt: "Do it." };
  const make = (subagents: readonly object[], checkpointer?: MemorySaver): ReturnType<typeof createDeepAgent> =>
    createDeepAgent({
      model: chat,
      tools,
      middleware: middleware(),
      subagents: [{ ...general, middleware: middleware() }, ...subagents] as never,
      ...(checkpointer && { checkpointer }),
    }) as never;
  const digger = { name: "digger", description: "Digs.", runnable: make([]) };
  const lead = { name: "lead", description: "Leads.", runnable: make([digger]) };
  return make([lead], new MemorySaver());
}

function said(id: string, content: string): never {
  return { messages: [{ role: "user", id, content }] } as never;
}

/** The fields that a status is made of, of messages, metadata, commands and errors; the rest is noise that changes with versions. */
function pick(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(pick);
  if (value instanceof Error) return { message: value.message };
  if (typeof value !== "object" || value === null) return value;
  const fields = value as Record<string, unknown>;
  if (value instanceof BaseMessage) {
    const kept = [
      "id",
      "name",
      "content",
      "tool_calls",
      "invalid_tool_calls",
      "tool_call_chunks",
      "usage_metadata",
      "tool_call_id",
      "status",
    ];
    const { response_metadata: response } = value;
    const names = ["model", "model_name"].filter((key) => typeof response[key] === "string");
    const marker = value.additional_kwargs["tool_call_outcome"];
    return {
      type: value.type,
      ...Object.fromEntries(kept.filter((key) => fields[key] !== undefined).map((key) => [key, fields[key]])),
      ...(names.length > 0 && { response_metadata: Object.fromEntries(names.map((key) => [key, response[key]])) }),
      ...(marker === undefined ? {} : { additional_kwargs: { tool_call_outcome: marker } }),
    };
  }
  if ("langgraph_node" in fields) {
    return Object.fromEntries(
      ["langgraph_node", "ls_provider", "ls_model_name", "lc_agent_name"].map((key) => [key, fields[key]]),
    );
  }
  return Object.fromEntries(Object.entries(fields).map(([key, field]) => [key, pick(field)]));
}

function rootCause(error: unknown): string {
  const { cause, message } = error as Error;
  return cause instanceof Error ? rootCause(cause) : message;
}

/** Random ids become numbered ones, paths of this machine nobody's. */
function withoutChance(text: string): string {
  const numbers = new Map<string, string>();
  const root = new URL("../../..", import.meta.url).pathname;
  return text
    .replaceAll(root, "/app/")
    .replaceAll(/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g, (id) => {
      const known = numbers.get(id) ?? `00000000-0000-4000-8000-${String(numbers.size + 1).padStart(12, "0")}`;
      numbers.set(id, known);
      return known;
    });
}

const wanted = process.argv.slice(2);
for (const [name, each] of Object.entries(cases))
  if (wanted.length === 0 || wanted.includes(name)) await record(name, each);
