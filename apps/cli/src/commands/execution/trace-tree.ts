import { type AgentExecution, type AgentExecutionStatus, MessageType } from "@stigmer/protos/agentexecution/v1";
import { durationBetween } from "../../output/durations.ts";
import { createRunReader } from "../../output/run-view/run-events.ts";
import { showPhase } from "../../resources/kinds.ts";

/** A part of a run, with the parts that it is made of. */
export interface Span {
  readonly kind: "run" | "model" | "tool" | "sub-agent";
  readonly id: string;
  readonly name: string;
  readonly state: string;
  /** Milliseconds since the run began to work. */
  readonly startMs?: number;
  readonly durationMs?: number;
  readonly tokens?: number;
  readonly costMicroUsd?: number;
  readonly spans: readonly Span[];
}

/** A run as a tree: each model call with the tool calls that it asked for, and below a task what its sub-agent did. */
export function traceOf({ metadata, status }: AgentExecution): Span {
  const root = { kind: "run", id: metadata?.id ?? "", name: metadata?.id ?? "" } as const;
  if (status === undefined) return { ...root, state: "pending", spans: [] };
  const { usage, timing } = status;
  return {
    ...root,
    state: showPhase(status.phase),
    durationMs: timing?.totalMs ?? durationBetween(status.startedAt, status.completedAt),
    tokens: (usage?.inputTokens ?? 0) + (usage?.outputTokens ?? 0),
    costMicroUsd: usage?.costMicroUsd ?? 0,
    spans: spansOf(status, ""),
  };
}

/** What one agent of the tree did; "" is the run's own. */
function spansOf(status: AgentExecutionStatus, agentId: string): Span[] {
  // The reader knows how calls are called for people.
  const events = createRunReader().read(status);
  const sinceStart = (at: string): { startMs?: number } => {
    const startMs = durationBetween(status.startedAt, at);
    return startMs === undefined ? {} : { startMs };
  };
  const tasks = new Map(status.subAgentExecutions.map((task) => [task.id, task]));
  const calls = new Map<string, Span>();
  for (const event of events) {
    if (event.type !== "tool" || event.subAgentId !== agentId) continue;
    const { toolCallId: id, name, display, status: state, startedAt, durationMs } = event;
    const span: Span = {
      kind: "tool",
      id,
      name: display === "" ? name : `${name} ${display}`,
      state,
      ...sinceStart(startedAt),
      ...(durationMs !== undefined && { durationMs }),
      spans: [],
    };
    if (!tasks.has(id)) calls.set(id, span);
  }
  for (const task of events) {
    if (task.type !== "sub-agent" || task.parentId !== agentId) continue;
    const { subAgentId: id, name, task: text, status: state, startedAt, durationMs } = task;
    const usage = tasks.get(id)?.usage;
    calls.set(id, {
      kind: "sub-agent",
      id,
      name: text === "" ? name : `${name}: ${text}`,
      state,
      ...sinceStart(startedAt),
      ...(durationMs !== undefined && { durationMs }),
      tokens: (usage?.inputTokens ?? 0) + (usage?.outputTokens ?? 0),
      costMicroUsd: usage?.costMicroUsd ?? 0,
      spans: spansOf(status, id),
    });
  }
  const models = status.messages.flatMap(({ id, type, subAgentId, timestamp, usage, toolCalls }): Span[] => {
    if (type !== MessageType.MESSAGE_AI || subAgentId !== agentId) return [];
    const asked = toolCalls.flatMap((call) => {
      const span = calls.get(call.id);
      calls.delete(call.id);
      return span ?? [];
    });
    return [
      {
        kind: "model",
        id,
        name: usage?.model || "model",
        state: "",
        ...sinceStart(timestamp),
        tokens: (usage?.inputTokens ?? 0) + (usage?.outputTokens ?? 0),
        costMicroUsd: usage?.costMicroUsd ?? 0,
        spans: asked,
      },
    ];
  });
  // What no message asked for, as older runners tell it.
  return [...models, ...calls.values()].toSorted((a, b) => (a.startMs ?? 0) - (b.startMs ?? 0));
}
