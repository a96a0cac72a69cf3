import { readFileSync } from "node:fs";
import type { StatusChange } from "@stigmer/protos/agentexecution/v1";
import { createReducer, type AgentEvent, type Reducer, type RunOutcome } from "../index.ts";

/** How a recorded run ended, or came to rest. */
export type RecordedOutcome = RunOutcome | { readonly kind: "paused"; readonly reason: string };

/** A recorded run: what was asked, what streamed, how it ended. */
export interface Recording {
  readonly executionId: string;
  readonly message: string;
  readonly outcome: RecordedOutcome;
  readonly events: readonly AgentEvent[];
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
] as const;

export function readRecording(name: string): Recording {
  const lines = readFileSync(new URL(`${name}.events.jsonl`, import.meta.url), "utf8").trimEnd().split("\n");
  const [head, ...events] = lines.map((line): unknown => JSON.parse(line));
  return { ...(head as Omit<Recording, "events">), events: events as AgentEvent[] };
}

/** The n-th moment of a test: a second each. */
export function moment(n: number): string {
  return new Date(Date.UTC(2026, 0, 1) + n * 1000).toISOString();
}

export function conclude(reducer: Reducer, outcome: RecordedOutcome, at: string): StatusChange[] {
  return outcome.kind === "paused" ? reducer.pause(outcome.reason, at) : reducer.finish(outcome, at);
}

/** Reduces a recording: the reducer at the end, and what each step changed. */
export function replay({ executionId, message, events, outcome }: Recording): { reducer: Reducer; steps: StatusChange[][] } {
  const reducer = createReducer({ executionId, message });
  const steps = [
    reducer.start(moment(0)),
    ...events.map((event, at) => reducer.reduce(event, moment(at + 1))),
    conclude(reducer, outcome, moment(events.length + 1)),
  ];
  return { reducer, steps };
}
