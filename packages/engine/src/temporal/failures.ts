import { ActivityFailure, ApplicationFailure, CancelledFailure, TimeoutFailure, TimeoutType } from "@temporalio/common";
import { ActivityStop } from "../errors.ts";

// How an attempt says why it did not end its run. Temporal carries an error as a type (a string) and a message: these are
// the types, and both directions of the way. A failure of any other type, such as one that a runner in another language
// throws, counts as a fault of the infrastructure, unless it is marked as not to be retried.

/** `type` of the failures that runner, workflow and server tell each other. Part of the wire: never renamed. */
export const FAILURE_TYPES = {
  /** An activity's: it stopped because somebody asked for it, and did not return a status. */
  cancelled: "stigmer.Cancelled",
  /** An activity's: the runner shuts down; the attempt is not counted. */
  draining: "stigmer.Draining",
  /** An activity's: the run is at rest; the attempt is not counted. Its first detail is a {@link PausedDetail}. */
  paused: "stigmer.Paused",
  /** An activity's: somebody else has the run under a higher fence. */
  leaseLost: "stigmer.LeaseLost",
  /** An activity's: another attempt may succeed. */
  infrastructure: "stigmer.Infrastructure",
  /** An activity's: no attempt can succeed. The run fails with this message. */
  refused: "stigmer.Refused",
  /** A payload could not be read. Of an activity's argument or result it counts as `infrastructure`: the next runner may be newer. */
  unreadable: "stigmer.UnreadablePayload",
  /** The workflow's own: all attempts were used up. The message is for the run's status. */
  exhausted: "stigmer.Exhausted",
} as const;

/** What goes with {@link FAILURE_TYPES.paused}. */
export interface PausedDetail {
  /** The run paused without being asked to: a person has to look at it. */
  readonly itself: boolean;
}

/**
 * What a heartbeat says of an attempt that has got ahead, and the first detail of {@link FAILURE_TYPES.infrastructure} then: its attempts are
 * counted from there.
 */
export interface AttemptProgress {
  readonly progressed: true;
}

/** Why an attempt did not end its run, as the workflow sees it. */
export type AttemptFailure =
  | {
      readonly kind: "cancelled" | "draining" | "lease-lost" | "refused";
      readonly message: string;
    }
  | { readonly kind: "infrastructure" | "runner-lost"; readonly message: string; readonly progressed: boolean }
  | { readonly kind: "paused"; readonly message: string; readonly itself: boolean };

/** Says in words what became of a runner that fell silent. The same as the embedded engine says. */
const RUNNER_LOST = "Its runner was lost: nothing was heard of it in time.";

/**
 * What an activity throws for Temporal to carry. What is thrown after a stop is mostly the stop's echo (`AbortError`), so
 * `stopReason` (the reason of an aborted `ActivityContext.signal`) goes first unless the error is a stop itself.
 * `pauseAsked`: what it threw is the reason of `ActivityContext.pause`.
 */
export function activityFailure(
  error: unknown,
  {
    stopReason,
    pauseAsked,
    progress,
  }: { readonly stopReason?: unknown; readonly pauseAsked: boolean; readonly progress?: AttemptProgress | undefined },
): ApplicationFailure {
  const stop = ActivityStop.is(error) ? error : ActivityStop.is(stopReason) ? stopReason : undefined;
  if (stop) return stopFailure(stop, pauseAsked);
  if (error instanceof ApplicationFailure) return error;
  return ApplicationFailure.retryable(textOf(error), FAILURE_TYPES.infrastructure, ...(progress ? [progress] : []));
}

/** An activity's failure that ends the run: another attempt would fail the same way. */
export function refusedFailure(message: string): ApplicationFailure {
  return ApplicationFailure.nonRetryable(message, FAILURE_TYPES.refused);
}

/** The workflow's side: why an activity did not answer. */
export function attemptFailure(error: unknown): AttemptFailure {
  const cause = error instanceof ActivityFailure ? error.cause : error;
  if (cause instanceof CancelledFailure) return { kind: "cancelled", message: cause.message };
  if (cause instanceof TimeoutFailure) return timeoutFailure(cause);
  const message = textOf(cause ?? error);
  if (!(cause instanceof ApplicationFailure)) return { kind: "infrastructure", message, progressed: false };
  if (cause.type === FAILURE_TYPES.paused) {
    const detail = cause.details?.[0] as Partial<PausedDetail> | undefined;
    return { kind: "paused", message, itself: detail?.itself ?? true };
  }
  const kind = kindOf(cause);
  return kind === "infrastructure"
    ? { kind, message, progressed: tellsProgress(cause.details?.[0]) }
    : { kind, message };
}

function tellsProgress(detail: unknown): boolean {
  return typeof detail === "object" && detail !== null && "progressed" in detail && detail.progressed === true;
}

// Retryable where another attempt may succeed: a foreign workflow leaves retries to Temporal. Ours counts attempts itself.
function stopFailure({ kind, message }: ActivityStop, pauseAsked: boolean): ApplicationFailure {
  switch (kind) {
    case "cancelled":
      // Not a CancelledFailure: the server refuses that of an activity that it did not ask to cancel, and a cancel may reach
      // the runner first.
      return ApplicationFailure.nonRetryable(message, FAILURE_TYPES.cancelled);
    case "draining":
      return ApplicationFailure.retryable(message, FAILURE_TYPES.draining);
    case "lease-lost":
      return ApplicationFailure.retryable(message, FAILURE_TYPES.leaseLost);
    case "paused": {
      const detail: PausedDetail = { itself: !pauseAsked };
      return ApplicationFailure.retryable(message, FAILURE_TYPES.paused, detail);
    }
  }
}

function kindOf({ type, nonRetryable }: ApplicationFailure): Exclude<AttemptFailure["kind"], "paused" | "runner-lost"> {
  switch (type) {
    case FAILURE_TYPES.cancelled:
      return "cancelled";
    case FAILURE_TYPES.draining:
      return "draining";
    case FAILURE_TYPES.leaseLost:
      return "lease-lost";
    case FAILURE_TYPES.infrastructure:
    case FAILURE_TYPES.unreadable:
      return "infrastructure";
    default:
      return nonRetryable ? "refused" : "infrastructure";
  }
}

function timeoutFailure({ timeoutType, lastHeartbeatDetails }: TimeoutFailure): AttemptFailure {
  const progressed = tellsProgress(lastHeartbeatDetails);
  if (timeoutType === TimeoutType.HEARTBEAT) return { kind: "runner-lost", message: RUNNER_LOST, progressed };
  return { kind: "infrastructure", message: "It took longer than an attempt may.", progressed };
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
