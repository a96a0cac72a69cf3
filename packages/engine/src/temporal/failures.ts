import { ApplicationFailure, CancelledFailure } from "@temporalio/common";
import { ActivityStop } from "../errors.ts";

// How an attempt says why it did not end its run. Temporal carries an error as a type (a string) and a message: these are
// the types, and both directions of the way. A failure of any other type, such as one that a runner in another language
// throws, counts as a fault of the infrastructure.

/** `type` of the failures that runner, workflow and server tell each other. Part of the wire: never renamed. */
export const FAILURE_TYPES = {
  /** An activity's: the runner shuts down; the next attempt is not counted. */
  draining: "stigmer.Draining",
  /** An activity's: the run is at rest. Its first detail is a {@link PausedDetail}. */
  paused: "stigmer.Paused",
  /** An activity's: somebody else has the run under a higher fence. */
  leaseLost: "stigmer.LeaseLost",
  /** An activity's: another attempt may succeed. */
  infrastructure: "stigmer.Infrastructure",
  /** An activity's: no attempt can succeed. The run fails with this message. */
  refused: "stigmer.Refused",
  /** The workflow's own: all attempts were used up. The message is for the run's status. */
  exhausted: "stigmer.Exhausted",
} as const;

/** What goes with {@link FAILURE_TYPES.paused}. */
export interface PausedDetail {
  /** The run paused without being asked to: it waits for a person, whatever was asked before. */
  readonly itself: boolean;
}

/** Why an attempt did not end its run, as the workflow sees it. */
export type AttemptFailure =
  | { readonly kind: "cancelled" | "draining" | "lease-lost" | "infrastructure" | "refused"; readonly message: string }
  | { readonly kind: "paused"; readonly message: string; readonly itself: boolean }
  /** Nothing was heard of the runner for the time of a heartbeat. */
  | { readonly kind: "runner-lost"; readonly message: string };

/** Says in words what became of a runner that fell silent. The same as the embedded engine says. */
export const RUNNER_LOST = "Its runner was lost: nothing was heard of it in time.";

/**
 * What an activity throws for Temporal to carry. `pauseAsked`: the activity's `ActivityContext.pause` was aborted when it
 * threw. What is thrown after a stop is mostly the stop's echo (`AbortError`), so `stopReason` (the reason of an aborted
 * `ActivityContext.signal`) goes first unless the error is a stop itself.
 */
export function activityFailure(
  error: unknown,
  { stopReason, pauseAsked }: { readonly stopReason?: unknown; readonly pauseAsked: boolean },
): ApplicationFailure | CancelledFailure {
  const stop = ActivityStop.is(error) ? error : ActivityStop.is(stopReason) ? stopReason : undefined;
  if (stop) return stopFailure(stop, pauseAsked);
  if (error instanceof ApplicationFailure || error instanceof CancelledFailure) return error;
  return failure(FAILURE_TYPES.infrastructure, messageOf(error));
}

/** An activity's failure that ends the run: another attempt would fail the same way. */
export function refusedFailure(message: string): ApplicationFailure {
  return failure(FAILURE_TYPES.refused, message);
}

function stopFailure({ kind, message }: ActivityStop, pauseAsked: boolean): ApplicationFailure | CancelledFailure {
  switch (kind) {
    case "cancelled":
      return new CancelledFailure(message);
    case "draining":
      return failure(FAILURE_TYPES.draining, message);
    case "lease-lost":
      return failure(FAILURE_TYPES.leaseLost, message);
    case "paused":
      return failure(FAILURE_TYPES.paused, message, { itself: !pauseAsked } satisfies PausedDetail);
  }
}

function failure(type: string, message: string, ...details: readonly unknown[]): ApplicationFailure {
  // Never retried by Temporal: the workflow counts attempts itself.
  return ApplicationFailure.create({ type, message, nonRetryable: true, details: [...details] });
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
