import { AIMessage, type BaseMessage, type HumanMessage, ToolMessage } from "@langchain/core/messages";
import type { RunnableConfig } from "@langchain/core/runnables";
import { type StructuredTool, tool, type ToolRuntime } from "@langchain/core/tools";
import { isGraphBubbleUp } from "@langchain/langgraph";
import { failureOf, inSpan } from "@stigmer/telemetry";
import { type AgentMiddleware, createMiddleware } from "langchain";
import { z } from "zod";
import type { AgentGraph, GraphInput } from "../agent-graph.ts";
import { callKeyOf } from "../ledger/call-key.ts";
import type { ModelConfig } from "../models/model-config.ts";
import { oncePer } from "../once-per.ts";
import { toAgentError } from "../to-agent-error.ts";
import { acceptance, backgroundTaskId, beginnerOf } from "./background-orders.ts";
import { placeOf } from "./background-place.ts";

/** The part of LangGraph's compiled graph that a task needs. */
export interface SubAgentGraph {
  invoke(input: object, config: RunnableConfig): Promise<{ readonly messages?: readonly BaseMessage[] }>;
  /** Of the place that the configuration names, which lies below the parent's. */
  getState(config: RunnableConfig): Promise<{ readonly values: { readonly messages?: readonly BaseMessage[] } }>;
}

/** A sub-agent that tasks can be handed to. */
export interface TaskTarget {
  readonly name: string;
  /** Tells the model when to hand a task to it. */
  readonly description: string;
  readonly model: ModelConfig;
  /** What it is given to begin with. */
  input(task: string): Promise<GraphInput>;
  /** Made when the first task is handed over, and once. */
  graph(): SubAgentGraph;
  /** For tasks on threads of their own; made as the other is. */
  backgroundGraph(): AgentGraph;
}

/** Told by `custom` when a sub-agent goes on where it was. */
export interface SubAgentResumedEvent {
  readonly type: "sub_agent_resumed";
  /** Of the `task` call that it works on. */
  readonly toolCallId: string;
  /** Its whole conversation so far. */
  readonly messages: readonly BaseMessage[];
}

export interface TaskToolOptions {
  /** Tasks can be worked on in the background: for the run's own agent, which alone hears of them. */
  readonly inBackground: boolean;
}

/**
 * Takes the place of deepagents' middleware of the same name, whose `task` tool gives a sub-agent none: here a sub-agent is an
 * agent like any other. Without targets the agent has no such tool.
 */
export function subAgentMiddleware(targets: readonly TaskTarget[], options: TaskToolOptions): AgentMiddleware {
  return createMiddleware({
    name: "subAgentMiddleware",
    tools: targets.length === 0 ? [] : [createTaskTool(targets, options)],
  }) as AgentMiddleware;
}

function createTaskTool(targets: readonly TaskTarget[], { inBackground }: TaskToolOptions): StructuredTool {
  const byName = new Map(targets.map((target) => [target.name, target]));
  const names = [...byName.keys()].join(", ");
  const task = tool(
    async (
      { description, subagent_type: type, run_in_background: background }: TaskArguments,
      runtime: ToolRuntime,
    ) => {
      const target = byName.get(type);
      if (target === undefined) throw new Error(`There is no sub-agent "${type}". Known: ${names}.`);
      if (background === true) return handOver(target, description, runtime);
      return new ToolMessage({
        content: await runTask(target, description, runtime),
        tool_call_id: runtime.toolCallId ?? "",
        name: "task",
        status: "success",
      });
    },
    {
      name: "task",
      description: describeTask(targets, inBackground),
      schema: (inBackground ? schemaWithBackground : schemaWithout)(names),
    },
  );
  return task as unknown as StructuredTool;
}

const schemaWithout = oncePer((names: string) =>
  z.object({
    description: z.string().min(1).describe("The whole task: the sub-agent knows nothing else of your conversation"),
    subagent_type: z.string().describe(`The sub-agent: ${names}`),
  }),
);

const schemaWithBackground = oncePer((names: string) =>
  schemaWithout(names).extend({
    run_in_background: z
      .boolean()
      .optional()
      .describe("Return at once; the report comes later, in a message. Default: false"),
  }),
);

interface TaskArguments {
  readonly description: string;
  readonly subagent_type: string;
  readonly run_in_background?: boolean;
}

/** The run works on it beside its own graph, from here or, when it goes on elsewhere, from where it was. */
function handOver(target: TaskTarget, description: string, runtime: ToolRuntime): ToolMessage {
  const { config, state, toolCallId } = runtime;
  const begin = beginnerOf(config.configurable);
  if (begin === undefined) throw new Error("Tasks can't be worked on in the background here.");
  const { messages } = state as { readonly messages: readonly BaseMessage[] };
  const callKey = callKeyOf({ messages, id: toolCallId, checkpointNs: placeOf(config.configurable) });
  const order = { id: backgroundTaskId(callKey), toolCallId, name: target.name, description };
  begin(order);
  return acceptance(order);
}

/**
 * Runs within the parent's step: its events come under the namespace of the call, its checkpoints lie below the parent's. When
 * the parent goes on after a crash, a pause or an interrupt, so does the sub-agent; LangGraph then takes no input.
 */
async function runTask(target: TaskTarget, description: string, runtime: ToolRuntime): Promise<string> {
  const { config } = runtime as unknown as { readonly config: RunnableConfig };
  // LangGraph gives the id of no checkpoint, and takes its mere presence for the wish to go back to one: it would run again what
  // has ended beside a call that has not.
  const configurable: Record<string, unknown> = { ...config.configurable, ls_agent_type: "subagent" };
  delete configurable["checkpoint_id"];
  try {
    const { values } = await target.graph().getState({ configurable });
    tellResumed(runtime, values.messages ?? []);
    const input = await target.input(description);
    const { messages = [] } = await inAgentSpan(target, () =>
      target.graph().invoke(input, {
        ...config,
        signal: runtime.signal,
        metadata: { ...config.metadata, lc_agent_name: target.name },
        configurable,
      }),
    );
    return reportOf(messages);
  } catch (error) {
    if (isGraphBubbleUp(error) || runtime.signal?.aborted === true) throw error;
    throw toAgentError(error, target.model);
  }
}

/**
 * LangGraph tells of no step that it has done before. Whoever went on with the run may not have heard of all of them: the runner that did
 * them died with what it had not told yet.
 */
function tellResumed({ toolCallId, writer }: ToolRuntime, messages: readonly BaseMessage[]): void {
  if (messages.length === 0) return;
  const write = writer as ((event: SubAgentResumedEvent) => void) | null | undefined;
  write?.({ type: "sub_agent_resumed", toolCallId, messages });
}

/** What a sub-agent does is traced below a span of its own. */
function inAgentSpan<T>({ name, model }: Pick<TaskTarget, "name" | "model">, work: () => Promise<T>): Promise<T> {
  return inSpan(
    {
      scope: "@stigmer/agent",
      name: `invoke_agent ${name}`,
      attributes: {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.agent.name": name,
        "gen_ai.provider.name": model.provider,
        "gen_ai.request.model": model.model,
      },
      failureOf: (error) => (isGraphBubbleUp(error) ? undefined : failureOf(error)),
    },
    work,
  );
}

/** What a sub-agent begins with. */
export function taskInput(task: HumanMessage): GraphInput {
  const input = {
    messages: [task],
    // Of its own: its summarised history must not run into the parent's file.
    _summarizationSessionId: `session_${crypto.randomUUID().slice(0, 8)}`,
  };
  return input;
}

/** The last thing that the sub-agent said. */
export function reportOf(messages: readonly BaseMessage[]): string {
  const said = messages.filter((message) => AIMessage.isInstance(message)).map(({ text }) => text.trim());
  return said.findLast((text) => text !== "") ?? "The sub-agent ended without a report.";
}

function describeTask(targets: readonly TaskTarget[], inBackground: boolean): string {
  return `Hands a task to a sub-agent, which works on it by itself in a context of its own and returns one report.

The sub-agents:
${targets.map(({ name, description }) => `- ${name}: ${description}`).join("\n")}

- A sub-agent sees nothing of your conversation: say in the description what to do, what it needs to know, and what to report.
- You alone read its report: tell the user what matters in it.
- Hand over tasks that don't depend on each other in one message, so that they are worked on side by side.
- Do small things yourself.${inBackground ? `\n${background}` : ""}`;
}

const background = `- With run_in_background you go on at once while the task is worked on: for what takes long and what you can do without
  for now. Its report comes later, in a message that names the task. Before you end you get what is still outstanding.`;
