import type { CancellationScope } from "@temporalio/workflow";
import { ApplicationFailure } from "@temporalio/common";
import { attemptFailure, FAILURE_TYPES, type AttemptFailure } from "../failures.ts";
import { retryDelayMs, type Settings } from "./settings.ts";

/** Handed back more often than this in a row, a task is given out again with growing waits: it may be what ends its runners. */
const FREE_HANDBACKS = 3;

/** How often a task was tried, and what comes next. */
export interface Attempts {
  /** The attempt under way or the last one, counted from the one that got ahead last; 0 before the first. */
  readonly attempt: number;
  readonly lastFailure: string | undefined;
  /** How long the next attempt has to wait, in milliseconds. */
  readonly waitMs: number;
  start(): void;
  /**
   * Takes down why the attempt that was started did not end its task. Answers the failure to end with when it was the last one,
   * which names `what` there is given up.
   */
  failed(failure: AttemptFailure, what: string): ApplicationFailure | undefined;
  carry(): CarriedAttempts;
}

/** {@link Attempts} as JSON, for the workflow's next run. */
export interface CarriedAttempts {
  readonly attempt: number;
  readonly handbacks: number;
  readonly waitMs: number;
  readonly lastFailure?: string;
}

export function createAttempts(
  settings: Settings,
  { attempt, handbacks, waitMs, lastFailure }: CarriedAttempts = { attempt: 0, handbacks: 0, waitMs: 0 },
): Attempts {
  return {
    get attempt() {
      return attempt;
    },
    get lastFailure() {
      return lastFailure;
    },
    get waitMs() {
      return waitMs;
    },
    start: () => {
      attempt += 1;
      waitMs = 0;
    },
    failed: (failure, what) => {
      const { kind, message } = failure;
      if (kind === "paused" || kind === "draining") {
        attempt -= 1;
        // A pause has waited for a person already.
        handbacks = kind === "draining" ? handbacks + 1 : 0;
        waitMs = handbacks > FREE_HANDBACKS ? retryDelayMs(settings, handbacks - FREE_HANDBACKS) : 0;
        return undefined;
      }
      handbacks = 0;
      lastFailure = message;
      if ("progressed" in failure && failure.progressed) attempt = 1;
      if (attempt >= settings.maxAttempts) {
        const text = `${what} was given up after ${String(attempt)} attempts. The last one: ${message}`;
        return ApplicationFailure.nonRetryable(text, FAILURE_TYPES.exhausted);
      }
      // The time of a heartbeat has gone by already.
      waitMs = kind === "runner-lost" ? 0 : retryDelayMs(settings, attempt);
      return undefined;
    },
    carry: () => ({ attempt, handbacks, waitMs, ...(lastFailure === undefined ? {} : { lastFailure }) }),
  };
}

/** Runs the activities of one attempt in its scope. Answers what they answered, or why they did not. */
export async function attempted<T>(
  scope: CancellationScope,
  activities: () => Promise<T>,
): Promise<{ readonly result: T } | { readonly failure: AttemptFailure }> {
  try {
    return { result: await scope.run(activities) };
  } catch (error) {
    return { failure: attemptFailure(error) };
  }
}
