import { createClient } from "@connectrpc/connect";
import { RunnerController } from "@stigmer/protos/runner/v1";
import { Worker } from "@temporalio/worker";
import { sleep } from "../clock.ts";
import { ActivityStop, type EngineError } from "../errors.ts";
import { createActivityCalls } from "./activity-calls.ts";
import { attemptArgument } from "./attempt-header.ts";
import { connect } from "./connect.ts";
import { createConnectionWatch } from "./connection-watch.ts";
import type { TemporalWorkerSettings } from "./create-temporal-worker.ts";
import { dataConverter } from "./data-converter.ts";
import { keepWorking } from "./keep-working.ts";

/** How long work that was told to stop may take, before things go on without it. */
const STOP_GRACE_MS = 5_000;

/** The deadline of a drain is ours: Temporal's own must not come before it. */
const NEVER_BY_ITSELF = "365 days";

/** A worker that is connected. */
export interface WorkerSession {
  /** Resolves when `drain` is done. Rejects with `EngineError` `turned-away`, when all is handed back, where the server turned this runner away. */
  readonly ended: Promise<void>;
  /** Temporal answered when it was last asked. */
  readonly connected: boolean;
  drain(deadlineMs: number): Promise<void>;
}

/** The worker itself; apart from `createTemporalWorker`, so that Temporal's packages are loaded only when one runs. */
export async function openWorker(settings: TemporalWorkerSettings): Promise<WorkerSession> {
  const { address, namespace, taskQueue, transport, runnerId, maxConcurrency, version } = settings;
  const { logger, clock } = settings;
  const connection = await connect(settings, logger);
  const resting = new AbortController();
  const leaving = new AbortController();
  const calls = createActivityCalls({
    ...settings,
    server: createClient(RunnerController, transport),
    resting: resting.signal,
    leaving: leaving.signal,
    stopGraceMs: STOP_GRACE_MS,
    onTurnedAway: turnedAway,
  });
  const worker = await keepWorking({
    create: () =>
      Worker.create({
        connection,
        namespace,
        taskQueue,
        identity: `${runnerId}@${version}`,
        activities: calls.activities,
        interceptors: { activity: [attemptArgument] },
        dataConverter,
        maxConcurrentActivityTaskExecutions: maxConcurrency,
        // Each heartbeat is sent, and at once: the answers bring cancels, and what tells of progress must not wait for the next one.
        maxHeartbeatThrottleInterval: 1,
        defaultHeartbeatThrottleInterval: 1,
        shutdownGraceTime: NEVER_BY_ITSELF,
      }),
    what: "activities",
    logger,
    clock,
  }).catch(async (error: unknown) => {
    await connection.close();
    throw error;
  });
  const watch = createConnectionWatch({
    address,
    ask: (deadline) => connection.withDeadline(deadline, () => connection.workflowService.getSystemInfo({})),
    logger,
    clock,
  });
  logger.info({ runnerId, taskQueue, maxConcurrency, address, namespace }, "Connected to Temporal.");
  const ended = Promise.withResolvers<void>();
  let draining: Promise<void> | undefined;

  return {
    ended: ended.promise,
    get connected() {
      return !watch.isAway;
    },
    drain: (deadlineMs) => (draining ??= drain(deadlineMs).then(() => ended.resolve())),
  };

  function turnedAway(reason: EngineError): void {
    if (draining) return;
    logger.error({ runnerId, reason: reason.message }, "The server takes nothing from this runner; others go on.");
    draining = drainAs(reason);
  }

  async function drainAs(reason: EngineError): Promise<void> {
    await drain(0);
    ended.reject(reason);
  }

  async function drain(deadlineMs: number): Promise<void> {
    logger.info({ runnerId, inFlight: calls.inFlight, deadlineMs }, "Draining: no more activities are taken.");
    worker.shutdown();
    const stop = new ActivityStop("draining", "This runner is shutting down; another one goes on.");
    // Half of the time is for coming to an end, the other half for coming to rest where nothing is half done.
    const isDone = await within(worker.stopped, deadlineMs / 2);
    if (!isDone) resting.abort(stop);
    if (!isDone && !(await within(worker.stopped, deadlineMs / 2))) {
      leaving.abort(stop);
      // Twice: for the work to stop, and for Temporal to be told.
      if (!(await within(worker.stopped, 2 * STOP_GRACE_MS))) {
        logger.warn({ runnerId, inFlight: calls.inFlight }, "Temporal was not told of all that is handed back.");
      }
    }
    watch.close();
    // Refused when the worker did not stop in time; then the process' end closes it.
    await connection.close().catch((error: unknown) => logger.debug({ err: error }, "A connection stays open."));
    logger.info({ runnerId }, "Drained.");
  }

  async function within(work: Promise<void>, ms: number): Promise<boolean> {
    const over = new AbortController();
    try {
      return await Promise.race([work.then(() => true), sleep(clock, ms, over.signal).then(() => false)]);
    } finally {
      over.abort();
    }
  }
}
