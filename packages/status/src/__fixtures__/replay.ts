import { readFileSync } from "node:fs";
import type { StatusChange } from "@stigmer/protos/agentexecution/v1";
import { createReducer, type AgentEvent, type Reducer, type RunOutcome } from "../index.ts";

/** How a recorded run ended, or came to rest. */
export type RecordedOutcome = RunOutcome | { readonly kind: "paused"; readonly reason: string };

/** The runner died here, and another one went on from a checkpoint with these messages. */
export interface Resumption {
  readonly resumed: readonly unknown[];
}

/** A recorded run: what was asked, what streamed, how it ended. */
export interface Recording {
  readonly executionId: string;
  readonly message: string;
  readonly outcome: RecordedOutcome;
  readonly events: readonly (AgentEvent | Resumption)[];
}

export const recordings = [
  "plain-text",
  "tool-call",
  "two-parallel-tools",
  "equal-calls",
  "failing-tool",
  "bad-arguments",
  "unknown-tool",
  "todos",
  "parallel-sub-agents",
  "thinking",
  "model-error",
  "cancelled-in-text",
  "cancelled-in-tool",
  "multi-turn",
  "outcome-unknown",
  "steered",
  "paused-in-sub-agents",
  "nested-sub-agents",
  "retried-model-error",
  "retried-in-sub-agents",
  "multimodal",
  "mcp-tools",
  "failing-sub-agent",
  "resumed-in-sub-agent",
] as const;

export function readRecording(name: string): Recording {
  const lines = readFileSync(new URL(`${name}.events.jsonl`, import.meta.url), "utf8").trimEnd().split("\n");
  const [head, ...events] = lines.map((line): unknown => JSON.parse(line));
  return { ...(head as Omit<Recording, "events">), events: events as Recording["events"] };
}

/** The n-th moment of a test: a second each. */
export function moment(n: number): string {
  return new Date(Date.UTC(2026, 0, 1) + n * 1000).toISOString();
}

export function conclude(reducer: Reducer, outcome: RecordedOutcome, at: string): StatusChange[] {
  return outcome.kind === "paused" ? reducer.pause(outcome.reason, at) : reducer.finish(outcome, at);
}

/** Reduces a recording: the reducer at the end, and what each step changed. */
export function replay(
  { executionId, message, events, outcome }: Recording,
  times: readonly number[] = events.map((_, at) => at + 1),
): { reducer: Reducer; steps: StatusChange[][] } {
  let reducer = createReducer({ executionId, message });
  const step = (event: AgentEvent | Resumption, at: string): StatusChange[] => {
    if ("mode" in event) return reducer.reduce(event, at);
    reducer = createReducer({ executionId, message, resumeFrom: reducer.status });
    return [...reducer.start(at), ...reducer.resume(event.resumed, at)];
  };
  const steps = [
    reducer.start(moment(0)),
    ...events.map((event, at) => step(event, moment(times[at] ?? 0))),
    conclude(reducer, outcome, moment((times.at(-1) ?? 0) + 1)),
  ];
  return { reducer, steps };
}
