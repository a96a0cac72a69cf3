import { ExecutionPhase, MessageType } from "@stigmer/protos/agentexecution/v1";
import { startMessage } from "./conversation.ts";
import { closeMessages } from "./message-text.ts";
import { isTerminal } from "./phase.ts";
import type { RunState } from "./run-state.ts";
import { closeCall, closeTask } from "./tool-calls.ts";
import { tellUsage } from "./usage.ts";

/** How a run ended. `error` and `reason` are shown to people. */
export type RunOutcome =
  | { readonly kind: "completed" }
  | { readonly kind: "failed"; readonly error: string }
  | { readonly kind: "cancelled"; readonly reason: string };

const phases = {
  completed: ExecutionPhase.EXECUTION_COMPLETED,
  failed: ExecutionPhase.EXECUTION_FAILED,
  cancelled: ExecutionPhase.EXECUTION_CANCELLED,
} as const;

/** Ends a run, and with it what still runs. The first outcome stays. */
export function finishRun(state: RunState, outcome: RunOutcome, at: string): void {
  const { status } = state.fold;
  if (isTerminal(status.phase)) return;
  closeMessages(state);
  closeCalls(state, outcome, at);
  tellUsage(state, { end: true });
  const error = (
    outcome.kind === "failed" ? outcome.error : outcome.kind === "cancelled" ? outcome.reason : ""
  ).toWellFormed();
  if (outcome.kind === "failed") {
    startMessage(state, `${state.executionId}-error`, { type: MessageType.MESSAGE_SYSTEM, at, text: error });
  }
  state.emit({ case: "run", value: { phase: phases[outcome.kind], error, completedAt: at } });
}

/**
 * Brings a run to rest, which is no end: calls that have not begun stay pending, a task whose sub-agent rests with the run stays running. Why it rests is a
 * message and not the run's error, which nothing could take back when the run goes on.
 */
export function pauseRun(
  state: RunState,
  { reason, itself }: { readonly reason: string; readonly itself: boolean },
  at: string,
): void {
  const { phase, messages } = state.fold.status;
  if (isTerminal(phase) || phase === ExecutionPhase.EXECUTION_PAUSED) return;
  closeMessages(state);
  if (reason !== "") {
    const before = messages.filter(({ id }) => id.startsWith(`${state.executionId}-paused-`)).length;
    const id = `${state.executionId}-paused-${before + 1}`;
    startMessage(state, id, { type: MessageType.MESSAGE_SYSTEM, at, text: reason });
  }
  rest(state, ExecutionPhase.EXECUTION_PAUSED, itself);
}

/** Brings a run to rest as a pause does, until a person has decided a tool call. What is asked stands in the calls' rows. */
export function waitForApproval(state: RunState): void {
  const { phase } = state.fold.status;
  if (isTerminal(phase) || phase === ExecutionPhase.EXECUTION_WAITING_FOR_APPROVAL) return;
  closeMessages(state);
  // Not "by itself": whoever goes on finds no decision, and asks again.
  rest(state, ExecutionPhase.EXECUTION_WAITING_FOR_APPROVAL, false);
}

function rest(state: RunState, phase: ExecutionPhase, restsByItself: boolean): void {
  tellUsage(state, { end: true });
  // Rest does not count.
  state.meters.clear();
  state.emit({ case: "run", value: { phase, restsByItself } });
}

function closeCalls(state: RunState, outcome: RunOutcome, at: string): void {
  // Rows of an earlier runner have no live call here, so the status is asked, once, at the end.
  for (const { id, startedAt } of state.fold.status.toolCalls) {
    const live = state.live.get(id);
    if (live?.error && outcome.kind !== "cancelled") closeCall(state, id, { as: "failed", at, error: live.error });
    else if (live?.endedAt && !live.error) closeCall(state, id, { as: "completed", at, result: "" });
    else if (outcome.kind === "failed" && startedAt !== "")
      closeCall(state, id, { as: "failed", at, error: outcome.error });
    else closeCall(state, id, { as: "cancelled", at, error: cancelledBecause(outcome) });
  }
  // Tasks in the background, whose calls ended when they were taken.
  for (const { id } of state.fold.status.subAgentExecutions) {
    if (outcome.kind === "failed") closeTask(state, id, { as: "failed", at, error: outcome.error });
    else closeTask(state, id, { as: "cancelled", at, error: cancelledBecause(outcome) });
  }
}

function cancelledBecause(outcome: RunOutcome): string {
  if (outcome.kind === "cancelled") return outcome.reason;
  return outcome.kind === "failed" ? "The run failed before this call started." : "The run ended before this call did.";
}
