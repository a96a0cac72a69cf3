import { Code, ConnectError } from "@connectrpc/connect";
import { type InboxItem, ReleaseHold, type RunOrders } from "@stigmer/protos/runner/v1";
import { Context } from "@temporalio/activity";
import { sleep } from "../clock.ts";
import type { ActivityContext } from "../contract.ts";
import { retryDelayMs } from "../embedded/retry-delay.ts";
import { createRunInbox } from "../embedded/run-inbox.ts";
import { ActivityStop, EngineError } from "../errors.ts";
import type { ActivityCallsOptions } from "./activity-calls.ts";
import { activityFailure, type AttemptProgress, refusedFailure } from "./failures.ts";

/** For one call to the server. */
const CALL_TIMEOUT_MS = 5_000;

const NO_REASON = "The execution was cancelled.";

export interface AttemptOptions<T> {
  /** Of a run: it is claimed before anything is done, and the server asked what is wanted of it. */
  readonly executionId?: string;
  readonly attempt: number;
  /** What the workflow itself was sent. */
  readonly inbox: readonly InboxItem[];
  /** The workflow knows nothing of runs at rest: a run that pauses waits here, heartbeating, until it may go on. */
  readonly isForeign?: boolean;
  readonly work: (context: ActivityContext) => Promise<T>;
}

/**
 * One call of an activity, with all that goes on beside the work: heartbeats by a timer of their own, since neither a silent
 * tool nor a stalled stream may look like a dead runner; Temporal's cancels; the server's orders. Throws what Temporal is
 * to carry (failures.ts).
 */
export async function attempt<T>(options: ActivityCallsOptions, call: AttemptOptions<T>): Promise<T> {
  const { heartbeatMs, resting, leaving, logger, clock } = options;
  const temporal = Context.current();
  const { executionId } = call;
  // A foreign workflow leaves retries to Temporal, ours counts by itself: of the two counts one stays at 1.
  const attemptNumber = Math.max(call.attempt, temporal.info.attempt);
  const fields = { executionId, activityType: temporal.info.activityType, attempt: attemptNumber };
  const stop = new AbortController();
  let pause = new AbortController();
  let isPauseWanted = false;
  const over = new AbortController();
  const stopWith = (kind: ActivityStop["kind"], message: string): void => {
    if (stop.signal.aborted) return;
    logger.info({ ...fields, kind, reason: message }, "An activity has to stop.");
    stop.abort(new ActivityStop(kind, message));
  };
  /** Aborted when the server is to be asked before the time. */
  let knock = new AbortController();
  const inbox = createRunInbox(call.inbox, (error) =>
    logger.error({ ...fields, err: error }, "A listener of an inbox failed."),
  );
  /** How many items the server has told, and how many came from the workflow alone. */
  let told = 0;
  const ownItems = inbox.items.length;

  function take({ cancel, pause: wanted, inbox: items }: RunOrders): void {
    told += items.length;
    for (const item of items) inbox.add(item);
    isPauseWanted = wanted !== undefined;
    if (wanted) pause.abort(new ActivityStop("paused", wanted.reason || "The execution was paused."));
    if (cancel) stopWith("cancelled", cancel.reason || NO_REASON);
  }

  const everyMs = Math.max(1, Math.min(heartbeatMs, (temporal.info.heartbeatTimeoutMs ?? Infinity) / 3));
  let progress: AttemptProgress | undefined;
  const beat = (): void => temporal.heartbeat(progress);
  // Not before: that the activity has started Temporal knows, and each heartbeat costs it as much as a step of a workflow.
  const beating = setInterval(beat, everyMs);
  const onCancel = (): void => void cancelled();
  const onLeave = (): void => stopWith("draining", (leaving.reason as ActivityStop).message);
  const onRest = (): void => pause.abort(resting.reason);
  temporal.cancellationSignal.addEventListener("abort", onCancel, { once: true });
  resting.addEventListener("abort", onRest, { once: true });
  leaving.addEventListener("abort", onLeave, { once: true });
  // From before the claim, whose answer may be older than what is said meanwhile.
  const stopListening =
    executionId === undefined ? () => {} : options.wakeUps.subscribe(executionId, () => knock.abort());
  let fence = 0;
  try {
    if (resting.aborted) onRest();
    if (leaving.aborted) onLeave();
    if (executionId !== undefined) fence = await claim(executionId);
    logger.info({ ...fields, fence }, "An activity starts.");
    stop.signal.throwIfAborted();
    if (executionId !== undefined && fence > 0) void check(executionId);
    const result = await Promise.race([untilEnd(), stuck()]);
    logger.info({ ...fields, fence }, "An activity ended.");
    return result;
  } catch (error) {
    const told = stop.signal.aborted ? (stop.signal.reason as ActivityStop) : undefined;
    if (isRest(error) && !isAskedFor(error)) await tellRest(error);
    if (!ActivityStop.is(error) && !told) logger.error({ ...fields, fence, err: error }, "An activity failed.");
    throw activityFailure(error, { stopReason: stop.signal.reason, pauseAsked: isAskedFor(error), progress });
  } finally {
    over.abort();
    stopListening();
    clearInterval(beating);
    temporal.cancellationSignal.removeEventListener("abort", onCancel);
    resting.removeEventListener("abort", onRest);
    leaving.removeEventListener("abort", onLeave);
  }

  /** Told at once: a runner that dies after this must not be held against the run. */
  function progressed(): void {
    if (progress) return;
    progress = { progressed: true };
    beat();
  }

  async function untilEnd(): Promise<T> {
    while (true) {
      try {
        const number = attemptNumber;
        return await call.work({ fence, attempt: number, progressed, signal: stop.signal, pause: pause.signal, inbox });
      } catch (error) {
        if (!call.isForeign || executionId === undefined || fence === 0 || !isRest(error)) throw error;
        if (!isAskedFor(error)) await tellRest(error);
        await untilResumed(executionId);
        pause = new AbortController();
        if (resting.aborted) onRest();
      }
    }
  }

  /** By a person. A question of the run's own is none of that, also when it came to rest for it after it was asked to. */
  function isAskedFor(rest: unknown): boolean {
    return rest === pause.signal.reason;
  }

  function isRest(error: unknown): error is ActivityStop {
    return ActivityStop.is(error) && error.kind === "paused" && !stop.signal.aborted;
  }

  async function untilResumed(id: string): Promise<void> {
    logger.info({ ...fields, fence }, "A run rests here, since its workflow knows nothing of that.");
    do {
      await untilNextLook(stop.signal);
      stop.signal.throwIfAborted();
      await ask(id);
    } while (isPauseWanted);
    stop.signal.throwIfAborted();
  }

  async function untilNextLook(ended: AbortSignal): Promise<void> {
    await sleep(clock, options.checkMs, AbortSignal.any([ended, knock.signal]));
    // What is said from here on is for the next look.
    if (knock.signal.aborted) knock = new AbortController();
  }

  /** Repeats a call to the server until it answers, or the activity has to stop. */
  async function untilAnswered<R>(request: () => Promise<R>, isFinal: (code: Code) => boolean): Promise<R> {
    for (let failures = 1; ; failures += 1) {
      stop.signal.throwIfAborted();
      try {
        return await request();
      } catch (error) {
        const { code, rawMessage } = ConnectError.from(error);
        if (isFinal(code)) throw error;
        const log = failures === 1 ? logger.warn : logger.debug;
        log.call(
          logger,
          { ...fields, code: Code[code], reason: rawMessage },
          "The server did not answer; asking again.",
        );
        await sleep(clock, retryDelayMs(failures), stop.signal);
      }
    }
  }

  async function claim(id: string): Promise<number> {
    const { workflowExecution, activityId, attempt } = temporal.info;
    // The same for a repeated call, another one for whoever comes next.
    const claimId = [workflowExecution?.runId ?? temporal.info.base64TaskToken, activityId, attempt].join("/");
    const request = { executionId: id, runnerId: options.runnerId, claimId };
    try {
      const answer = await untilAnswered(
        () => options.server.claimExecution(request, { timeoutMs: CALL_TIMEOUT_MS }),
        (code) => FINAL_CODES.has(code),
      );
      if (answer.orders) take(answer.orders);
      return answer.fence;
    } catch (error) {
      if (ActivityStop.is(error)) throw error;
      const { code, rawMessage } = ConnectError.from(error);
      // A server of before, or of another origin.
      if (code === Code.Unimplemented) return 0;
      if (code === Code.NotFound || code === Code.FailedPrecondition) throw refusedFailure(rawMessage);
      // Another runner may well do what this one can't.
      if (TURNED_AWAY_CODES.has(code)) {
        const reason = turnedAway(error);
        options.onTurnedAway(reason);
        throw new ActivityStop("draining", reason.message);
      }
      throw new Error(`The server did not let this runner claim the execution ${id} (${Code[code]}): ${rawMessage}`, {
        cause: error,
      });
    }
  }

  async function check(id: string): Promise<void> {
    const ended = AbortSignal.any([over.signal, stop.signal]);
    while (true) {
      await untilNextLook(ended);
      if (ended.aborted) return;
      await ask(id);
    }
  }

  async function ask(id: string): Promise<void> {
    try {
      const request = { executionId: id, fence, inboxSeen: told };
      const call = { timeoutMs: CALL_TIMEOUT_MS, signal: over.signal };
      const { orders } = await options.server.checkExecution(request, call);
      if (orders && !over.signal.aborted) take(orders);
    } catch (error) {
      const { code, rawMessage } = ConnectError.from(error);
      if (over.signal.aborted) return;
      if (LOST_CODES.has(code)) stopWith("lease-lost", rawMessage);
      else if (TURNED_AWAY_CODES.has(code)) options.onTurnedAway(turnedAway(error));
      else logger.debug({ ...fields, code: Code[code], reason: rawMessage }, "A check was not answered.");
    }
  }

  async function cancelled(): Promise<void> {
    const details = temporal.cancellationDetails;
    if (details?.notFound || details?.timedOut) {
      return stopWith("lease-lost", "Temporal has given this activity up.");
    }
    if (details?.workerShutdown || details?.paused || details?.reset) {
      return stopWith("draining", "Temporal takes this activity back; another runner goes on.");
    }
    // Why, the server knows.
    if (executionId !== undefined && fence > 0) await ask(executionId);
    stopWith("cancelled", NO_REASON);
  }

  /**
   * Lets the server know that the run pauses itself, before its workflow does: a resume that somebody sends from now on is
   * then told from one that is meant for nothing.
   */
  async function tellRest(reason: ActivityStop): Promise<void> {
    if (executionId === undefined || fence === 0) return;
    const request = {
      runnerId: options.runnerId,
      lease: { taskId: executionId, fence },
      reason: reason.message,
      hold: ReleaseHold.PAUSED_ITSELF,
      inboxSeen: Math.max(0, inbox.seen - ownItems),
    };
    await untilAnswered(
      () => options.server.releaseLease(request, { timeoutMs: CALL_TIMEOUT_MS }),
      (code) => FINAL_CODES.has(code),
    ).catch((error: unknown) => {
      logger.warn({ ...fields, err: error }, "The server was not told that a run has paused itself.");
    });
  }

  /** Work that does not stop can't be waited for when the process ends. Its fence keeps it from doing harm. */
  async function stuck(): Promise<never> {
    const ended = AbortSignal.any([over.signal, leaving]);
    await new Promise<void>((resolve) => {
      if (ended.aborted) resolve();
      else ended.addEventListener("abort", () => resolve(), { once: true });
    });
    await sleep(clock, options.stopGraceMs, over.signal);
    if (!over.signal.aborted) logger.warn({ ...fields, fence }, "An activity did not stop in time; it is handed back.");
    throw leaving.reason ?? new ActivityStop("draining", "over");
  }
}

/** Asking again does not change the answer to these. */
const FINAL_CODES: ReadonlySet<Code> = new Set([
  Code.InvalidArgument,
  Code.NotFound,
  Code.AlreadyExists,
  Code.Aborted,
  Code.FailedPrecondition,
  Code.OutOfRange,
  Code.PermissionDenied,
  Code.Unauthenticated,
  Code.Unimplemented,
]);

/** It is the runner that is refused, not what it asks for. */
const TURNED_AWAY_CODES: ReadonlySet<Code> = new Set([Code.Unauthenticated, Code.PermissionDenied]);

function turnedAway(error: unknown): EngineError {
  const { code, rawMessage } = ConnectError.from(error);
  return new EngineError("turned-away", `The server turns this runner away (${Code[code]}): ${rawMessage}`, {
    cause: error,
  });
}

/** The run is another's, or nobody's. */
const LOST_CODES: ReadonlySet<Code> = new Set([Code.Aborted, Code.NotFound, Code.FailedPrecondition]);
