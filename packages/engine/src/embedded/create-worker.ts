import { Code, ConnectError, createClient, type Transport } from "@connectrpc/connect";
import {
  type Attached,
  type Lease,
  type LeaseEvent,
  type LeaseSignal,
  RunnerController,
} from "@stigmer/protos/runner/v1";
import { type Clock, sleep, systemClock } from "../clock.ts";
import { type Activities, DEFAULT_ACTIVITY_QUEUE } from "../contract.ts";
import type { Logger } from "../engine.ts";
import { ActivityStop, EngineError } from "../errors.ts";
import { createLeaseReporter } from "./lease-reporter.ts";
import type { LeaseKey } from "./queue-store.ts";
import { retryDelayMs } from "./retry-delay.ts";
import { createRunInbox, type RunInbox } from "./run-inbox.ts";
import { runTask } from "./run-task.ts";

/** How long an activity that was told to stop, may take before things go on without it. */
const STOP_GRACE_MS = 5_000;

/** For telling that a task has got ahead; the next heartbeat tells it again. */
const PROGRESS_TIMEOUT_MS = 5_000;

export interface EmbeddedWorkerOptions {
  /** The way to the server, with whatever authentication it asks for. */
  readonly transport: Transport;
  readonly activities: Activities;
  /** Default `agent_execution_runner`. */
  readonly taskQueue?: string;
  /** Names this process: the same in all its calls, new with each start, or a restarted runner is taken for the lost one. */
  readonly runnerId: string;
  /** How many tasks to work on at once. */
  readonly maxConcurrency: number;
  /** For the server's log. */
  readonly version: string;
  readonly logger: Logger;
  readonly clock?: Clock;
}

export interface EmbeddedWorker {
  /**
   * Takes tasks and works on them until `drain` is done. A server that is away is waited for, and work in flight goes on
   * meanwhile. Rejects with `EngineError` `refused` when the server turns this runner away for good.
   */
  run(): Promise<void>;
  /** Resolves when the server has taken this runner in for the first time. Rejects when `run` ends before that. */
  readonly ready: Promise<void>;
  /**
   * Takes no more tasks and lets those in flight end. After half of `deadlineMs` (milliseconds) they are asked to come to
   * rest, after all of it they are stopped; either way they are handed back, so that another runner goes on with them. Resolves when nothing is left. Repeated calls share the first one's deadline.
   */
  drain(options: { readonly deadlineMs: number }): Promise<void>;
}

/** Work under one lease. */
interface Work {
  readonly lease: LeaseKey & { progressed: boolean };
  readonly controller: AbortController;
  readonly pause: AbortController;
  readonly inbox: RunInbox;
  /** Resolves when the work and its report are over. Never rejects. */
  settled: Promise<void>;
}

export function createEmbeddedWorker(options: EmbeddedWorkerOptions): EmbeddedWorker {
  const { transport, activities, runnerId, maxConcurrency, version, logger } = options;
  const { taskQueue = DEFAULT_ACTIVITY_QUEUE, clock = systemClock } = options;
  if (runnerId === "") throw new EngineError("invalid-argument", "Expected a runnerId, got an empty one.");
  if (!(maxConcurrency >= 1)) {
    throw new EngineError("invalid-argument", `Expected maxConcurrency of at least 1, got ${String(maxConcurrency)}.`);
  }

  const client = createClient(RunnerController, transport);
  const ready = Promise.withResolvers<void>();
  ready.promise.catch(() => {});
  /** By task and fence: the same task may come back under a higher fence while its earlier work still stops. */
  const works = new Map<string, Work>();
  /** The last work of each session, which the next one waits for. */
  const lastOfSession = new Map<string, Work>();
  /** Ends the streams, the heartbeats and the waiting of this worker. */
  const stopping = new AbortController();
  const reporter = createLeaseReporter({ client, runnerId, logger, clock, stopping: stopping.signal });
  let running: Promise<void> | undefined;
  let draining: Promise<void> | undefined;
  let beating = false;

  async function takeLeases(): Promise<void> {
    let failures = 0;
    while (!stopping.signal.aborted) {
      const held = [...works.values()].map(({ lease }) => lease);
      try {
        const request = { runnerId, taskQueue, maxConcurrency, version, held };
        for await (const { event } of client.takeLeases(request, { signal: stopping.signal })) {
          if (event.case === "attached") failures = 0;
          handle(event, held);
        }
        if (!stopping.signal.aborted)
          logger.debug({ runnerId }, "The server ended the stream of tasks; connecting again.");
      } catch (error) {
        if (stopping.signal.aborted) return;
        const { code, rawMessage } = ConnectError.from(error);
        if (isRefusal(code)) throw refusal(error);
        const log = failures === 0 ? logger.warn : logger.debug;
        log.call(
          logger,
          { runnerId, code: Code[code], reason: rawMessage },
          "The stream of tasks broke; connecting again.",
        );
      }
      failures += 1;
      await sleep(clock, retryDelayMs(failures), stopping.signal);
    }
  }

  function handle(event: LeaseEvent["event"], held: readonly LeaseKey[]): void {
    switch (event.case) {
      case "attached":
        return attached(event.value, held);
      case "lease":
        return startWork(event.value);
      case "signal":
        return signalled(event.value);
      case "lost":
        return lose(event.value, event.value.reason);
      case undefined:
    }
  }

  /** Signals come again after a broken stream; a second one changes nothing. */
  function signalled({ signal, ...lease }: LeaseSignal): void {
    const work = works.get(keyOf(lease));
    switch (signal.case) {
      case "cancel": {
        const reason = signal.value.reason || "The execution was cancelled.";
        return work?.controller.abort(new ActivityStop("cancelled", reason));
      }
      case "pause": {
        const reason = signal.value.reason || "The execution was paused.";
        return work?.pause.abort(new ActivityStop("paused", reason));
      }
      case "inbox":
        return work?.inbox.add(signal.value);
      case undefined:
    }
  }

  function attached({ heartbeatIntervalMs, kept }: Attached, held: readonly LeaseKey[]): void {
    const keptKeys = new Set(kept.map(keyOf));
    for (const lease of held) {
      if (!keptKeys.has(keyOf(lease))) lose(lease, "The server did not keep it while the stream was broken.");
    }
    logger.info({ runnerId, taskQueue, held: held.length, kept: kept.length }, "Connected to the server's queue.");
    ready.resolve();
    if (!beating) void beat(heartbeatIntervalMs);
    beating = true;
  }

  // On a timer of its own: neither a silent tool nor a stalled stream may look like a dead runner.
  async function beat(intervalMs: number): Promise<void> {
    while (true) {
      await sleep(clock, intervalMs, stopping.signal);
      if (stopping.signal.aborted) return;
      await tellHeld(intervalMs);
    }
  }

  async function tellHeld(timeoutMs: number): Promise<void> {
    try {
      const held = [...works.values()].map(({ lease }) => lease);
      const { lost } = await client.heartbeat({ runnerId, held }, { signal: stopping.signal, timeoutMs });
      for (const lease of lost) lose(lease, "The server gave it away.");
    } catch (error) {
      logger.debug({ runnerId, reason: ConnectError.from(error).rawMessage }, "A heartbeat was not answered.");
    }
  }

  function lose(lease: LeaseKey, reason: string): void {
    const work = works.get(keyOf(lease));
    if (!work) return;
    logger.warn({ taskId: lease.taskId, fence: lease.fence, reason }, "A lease is lost; its task stops here.");
    works.delete(keyOf(lease));
    work.controller.abort(new ActivityStop("lease-lost", `The lease of ${lease.taskId} is lost. ${reason}`));
  }

  function startWork(lease: Lease): void {
    const { taskId, fence, attempt } = lease;
    const key = keyOf(lease);
    const session = sessionOf(lease);
    const earlier = lastOfSession.get(session);
    const controller = new AbortController();
    const pause = new AbortController();
    const inbox = createRunInbox(lease.inbox, (error) =>
      logger.error({ taskId, fence, err: error }, "A listener of an inbox failed."),
    );
    // The server learns that this runner is leaving from the first task that it gets back.
    if (draining) controller.abort(shuttingDown());
    else logger.info({ taskId, fence, attempt, session }, "A task starts.");

    const work: Work = {
      lease: { taskId, fence, progressed: false },
      controller,
      pause,
      inbox,
      settled: Promise.resolve(),
    };
    // Told at once: a runner that dies after this must not be held against the task. Of the first attempt it makes no difference.
    const progressed = (): void => {
      if (work.lease.progressed) return;
      work.lease.progressed = true;
      if (attempt > 1) void tellHeld(PROGRESS_TIMEOUT_MS);
    };
    const isHeld = (): boolean => works.get(key) === work;
    works.set(key, work);
    lastOfSession.set(session, work);
    work.settled = (async () => {
      if (earlier) await settledWithin([earlier], STOP_GRACE_MS);
      // The server has let go of it already: nothing is reported, nor shown as held.
      const ended = (): void => void (isHeld() && works.delete(key));
      const ending = { runnerId, ended };
      const context = { fence, attempt, progressed, signal: controller.signal, pause: pause.signal, inbox, ending };
      const end = await runTask(lease, activities, context);
      await reporter.report(work, end, isHeld);
      if (isHeld()) works.delete(key);
      if (lastOfSession.get(session) === work) lastOfSession.delete(session);
    })();
  }

  /** Answers whether all settled. */
  async function settledWithin(awaited: readonly Pick<Work, "settled">[], ms: number): Promise<boolean> {
    const over = new AbortController();
    const settled = Promise.all(awaited.map((work) => work.settled)).then(() => true);
    try {
      return await Promise.race([settled, sleep(clock, ms, over.signal).then(() => false)]);
    } finally {
      over.abort();
    }
  }

  /** Half of the time is for coming to an end, the other half for coming to rest where nothing is half done. */
  async function settledOrRested(deadlineMs: number): Promise<boolean> {
    const over = new AbortController();
    const restAtHalf = async (): Promise<void> => {
      await sleep(clock, deadlineMs / 2, over.signal);
      for (const { pause } of over.signal.aborted ? [] : works.values()) pause.abort(shuttingDown());
    };
    void restAtHalf();
    try {
      return await settledWithin([...lastOfSession.values()], deadlineMs);
    } finally {
      over.abort();
    }
  }

  async function drain(deadlineMs: number): Promise<void> {
    logger.info({ runnerId, inFlight: works.size, deadlineMs }, "Draining: no more tasks are taken.");
    if (!(await settledOrRested(deadlineMs))) {
      for (const { controller } of works.values()) controller.abort(shuttingDown());
      await settledWithin([...lastOfSession.values()], STOP_GRACE_MS);
      // What does not stop cannot be waited for. Its fence keeps it from doing harm.
      const stuck = [...works.values()].map((work) => {
        logger.warn({ ...work.lease }, "A task did not stop in time; it is handed back all the same.");
        return { settled: reporter.report(work, { kind: "handed-back" }, () => true) };
      });
      await settledWithin(stuck, STOP_GRACE_MS);
    }
    stopping.abort();
    await running?.catch(() => {});
    ready.reject(new EngineError("closed", "The worker was drained before it reached the server."));
    logger.info({ runnerId }, "Drained.");
  }

  return {
    ready: ready.promise,
    run: () => {
      running ??= takeLeases().catch((error: unknown) => {
        for (const { lease } of works.values()) lose(lease, "The server refused this runner.");
        stopping.abort();
        ready.reject(error);
        throw error;
      });
      return running;
    },
    drain: ({ deadlineMs }) => (draining ??= drain(deadlineMs)),
  };
}

function shuttingDown(): ActivityStop {
  return new ActivityStop("draining", "This runner is shutting down; another one goes on.");
}

function keyOf({ taskId, fence }: LeaseKey): string {
  return `${taskId}/${String(fence)}`;
}

function sessionOf({ taskId, task }: Lease): string {
  const sessionId = task.case === "agentExecution" ? task.value.execution?.spec?.sessionId : task.value?.sessionId;
  return sessionId || taskId;
}

function isRefusal(code: Code): boolean {
  return [Code.Unauthenticated, Code.PermissionDenied, Code.InvalidArgument, Code.Unimplemented].includes(code);
}

function refusal(error: unknown): EngineError {
  const { code, rawMessage } = ConnectError.from(error);
  const message = `The server does not give tasks to this runner (${Code[code]}): ${rawMessage}. Check its key, its address and that it runs the embedded engine.`;
  return new EngineError("refused", message, { cause: error });
}
