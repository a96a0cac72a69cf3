// LangGraph's own interrupts, as human-in-the-loop is built on: raised deep in the tree, answered one by one, nothing run twice.
import { appendFileSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { RunnableConfig } from "@langchain/core/runnables";
import { type StructuredTool, tool } from "@langchain/core/tools";
import { Command, type Interrupt, interrupt } from "@langchain/langgraph";
import { toDeepAgentsBackend } from "@stigmer/sandbox/deepagents";
import type { Scenario, ScriptedToolCall } from "@stigmer/scripted-model";
import { afterEach, expect, it } from "vitest";
import { z } from "zod";
import type { AgentOptions } from "../agent.ts";
import { createAgentStack } from "../agent-stack.ts";
import { longInputs } from "../limits/long-inputs.ts";
import { createWriteBehind } from "../ledger/run-writes.ts";
import { createExecuteTool } from "../middleware/execute-tool.ts";
import { defaults, openWorkbench, type Workbench } from "../__fixtures__/workbench.ts";
import { createAgentTree } from "./agent-tree.ts";

let bench: Workbench;
afterEach(() => bench[Symbol.asyncDispose]());

const log = (name: string): void => appendFileSync(join(bench.directory, "effects"), `${name}\n`);
const effects = (): string[] => readFileSync(join(bench.directory, "effects"), "utf8").trim().split("\n").toSorted();
const make = (name: string, run: (what: string) => string): StructuredTool =>
  tool(async ({ what }: { what: string }) => run(what), {
    name,
    description: name,
    schema: z.object({ what: z.string() }),
  }) as unknown as StructuredTool;
const tools = [
  make("did", (what) => (log(what), `did ${what}`)),
  make("ask", (what) => `answered ${String(interrupt(what))}`),
];

const call = (name: string, what: string): ScriptedToolCall => ({ name, args: { what } });
const task = (name: string, description: string): ScriptedToolCall => {
  return { name: "task", args: { subagent_type: name, description } };
};
const scenarios: Scenario[] = [
  ...["a", "b"].flatMap((side): Scenario[] => [
    {
      name: `digger ${side}`,
      match: { human: `Dig ${side}` },
      turns: [
        { toolCalls: [call("ask", `ask ${side}`), call("did", `beside ${side}`)] },
        { toolCalls: [call("did", `after ${side}`)] },
        { text: `Dug ${side}: {{ result("ask") }}` },
      ],
    },
    {
      name: `lead ${side}`,
      match: { human: `Lead ${side}` },
      turns: [
        { toolCalls: [task("digger", `Dig ${side}`), call("did", `lead ${side}`)] },
        { text: `Led: {{ result("task") }}` },
      ],
    },
  ]),
  {
    name: "main",
    turns: [
      { toolCalls: [task("lead", "Lead a"), task("lead", "Lead b"), call("did", "main"), call("ask", "ask main")] },
      { text: "{{ result(1) }}" },
    ],
  },
];

interface Graph {
  stream(input: unknown, config: object): Promise<AsyncIterable<[string[], string, Record<string, unknown>]>>;
  getState(config: RunnableConfig): Promise<{ values: { messages: { text: string }[] }; next: string[] }>;
}

async function openGraph(): Promise<Graph> {
  const { sandbox, checkpointer, directory, model } = bench;
  const options: AgentOptions = {
    ...defaults(directory, sandbox, model.url),
    checkpointer,
    tools,
    subAgents: [
      { name: "lead", description: "Leads.", instructions: "Lead.", subAgents: ["digger"] },
      { name: "digger", description: "Digs.", instructions: "Dig." },
    ],
  };
  const backend = toDeepAgentsBackend(sandbox);
  const writes = createWriteBehind(checkpointer);
  const { tool: execute } = createExecuteTool(sandbox, { timeoutMs: 1000 });
  const stackOf = createAgentStack({ options, backend, execute, writes });
  const { graph } = await createAgentTree({ options, backend, checkpointer, stackOf, putAside: longInputs(backend) });
  return graph as unknown as Graph;
}

it(
  "reach the root from any depth, wait side by side, and are answered one by one without running anything twice",
  { timeout: 60_000 },
  async () => {
    bench = await openWorkbench(scenarios);
    const thread = { configurable: { thread_id: "t" } };
    const options = { ...thread, streamMode: ["updates", "tools"], subgraphs: true, durability: "sync" };
    /** Runs until the graph stops, in another graph each time as after a restart; tells what waits for an answer. */
    const goOn = async (input: unknown): Promise<Interrupt[]> => {
      const waiting = new Map<string, Interrupt>();
      for await (const [, mode, data] of await (await openGraph()).stream(input, options)) {
        const raised = (mode === "updates" ? (data["__interrupt__"] as Interrupt[] | undefined) : undefined) ?? [];
        for (const each of raised) waiting.set(each.id ?? "", each);
      }
      return [...waiting.values()];
    };
    const done = ["beside a", "beside b", "lead a", "lead b", "main"];
    let waiting = await goOn({ messages: [{ role: "user", content: "Go." }] });
    expect(waiting.map(({ value }) => value as string).toSorted()).toEqual(["ask a", "ask b", "ask main"]);
    expect(effects()).toEqual(done);

    for (const [question, effect] of [
      ["ask b", "after b"],
      ["ask main", undefined],
      ["ask a", "after a"],
    ] as const) {
      const { id = "" } = waiting.find(({ value }) => value === question)!;
      const left = waiting.filter(({ value }) => value !== question).map(({ value }) => value as string);
      waiting = await goOn(new Command({ resume: { [id]: `yes to ${question}` } }));
      expect(waiting.map(({ value }) => value as string).toSorted()).toEqual(left.toSorted());
      if (effect !== undefined) done.push(effect);
      expect(effects()).toEqual(done.toSorted());
    }
    const { values, next } = await (await openGraph()).getState(thread);
    expect(next).toEqual([]);
    expect(values.messages.at(-1)!.text).toMatch(/^Led: Dug [ab]: answered yes to ask [ab]$/);
    const asked = bench.model.requests.map(({ scenario, turn }) => `${scenario} ${turn}`);
    expect(asked).toHaveLength(new Set(asked).size);
  },
);
