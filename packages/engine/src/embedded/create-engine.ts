import type { AgentExecution, AgentExecutionStatus } from "@stigmer/protos/agentexecution/v1";
import { type Clock, systemClock } from "../clock.ts";
import type { Engine, EngineRunnerService, Logger } from "../engine.ts";
import { EngineError } from "../errors.ts";
import { createDispatcher } from "./dispatcher.ts";
import type { QueueCounts, QueueStore } from "./queue-store.ts";
import { createRunnerConnections } from "./runner-connections.ts";
import { createRunnerService } from "./runner-service.ts";

export interface EmbeddedEngineOptions {
  /** Where the tasks are. The engine is the only one that leases from it; it is not closed with the engine. */
  readonly queue: QueueStore;
  /**
   * The execution as a runner may see it: stored status, no values of secrets. Undefined when it is gone: its task is then
   * dropped. A rejection leaves the task waiting for another try.
   */
  readonly loadExecution: (executionId: string) => Promise<AgentExecution | undefined>;
  /**
   * Stores how an execution ended. Called at least once for each, before its task is done, so it must stand repetition; a
   * rejection is tried again.
   */
  readonly onFinished: (execution: FinishedExecution) => Promise<void>;
  /** Stores that an execution failed because all its attempts were lost. Repeated and tried again as `onFinished`. */
  readonly onExhausted: (executionId: string, message: string) => Promise<void>;
  readonly logger: Logger;
  /** How long a silent runner keeps its leases, in milliseconds. Default 10 000; runners are told to speak three times as often. */
  readonly leaseMs?: number;
  /** How long a runner whose stream broke has to come back, in milliseconds. Default 1 000. */
  readonly reattachMs?: number;
  /** The same after a start of this engine, when runners have yet to notice it, in milliseconds. Default 3 000. */
  readonly recoverMs?: number;
  /** How often a task is tried before it is given up. Default 5. Attempts that were handed back in order are not counted. */
  readonly maxAttempts?: number;
  /** How long a task waits after its first failed attempt, in milliseconds; doubled with each further one, up to 30 s. Default 500. */
  readonly retryDelayMs?: number;
  readonly clock?: Clock;
}

/** The end of an execution. Of `status` only phase, error, times and usage count: the rest came by `patchStatus`. */
export interface FinishedExecution {
  readonly executionId: string;
  /** The fence under which it ended. Undefined: nobody held it, it was cancelled while it waited. */
  readonly fence: number | undefined;
  readonly status: AgentExecutionStatus;
}

/** The queue and its runners at one moment. */
export interface EmbeddedEngineMetrics extends Omit<QueueCounts, "oldestWaitingAt"> {
  /** How long the oldest waiting task has waited since it was enqueued, in milliseconds; 0 when none waits. */
  readonly oldestWaitingMs: number;
  readonly runners: readonly {
    readonly runnerId: string;
    readonly version: string;
    readonly taskQueue: string;
    readonly maxConcurrency: number;
    readonly leased: number;
  }[];
}

export interface EmbeddedEngine extends Engine {
  readonly type: "embedded";
  readonly runnerService: Required<
    Pick<EngineRunnerService, "takeLeases" | "heartbeat" | "completeLease" | "releaseLease">
  >;
  metrics(): Promise<EmbeddedEngineMetrics>;
}

/**
 * Runs the queue of one server process. At its start every lease of an earlier process gets the time to be claimed again by
 * its runner, so a restart of the server restarts no run.
 */
export function createEmbeddedEngine(options: EmbeddedEngineOptions): EmbeddedEngine {
  const defaults = {
    leaseMs: 10_000,
    reattachMs: 1_000,
    recoverMs: 3_000,
    maxAttempts: 5,
    retryDelayMs: 500,
    clock: systemClock,
  };
  const settings = { ...defaults, ...withoutUndefined(options) };
  const { queue, logger, clock } = settings;
  for (const name of ["leaseMs", "maxAttempts"] as const) {
    if (!(settings[name] >= 1))
      throw new EngineError("invalid-argument", `Expected ${name} of at least 1, got ${String(settings[name])}.`);
  }

  const runners = createRunnerConnections();
  const dispatcher = createDispatcher({ ...settings, runners });
  let closing: Promise<void> | undefined;
  const refuseWhenClosed = (): void => {
    if (closing) throw new EngineError("closed", "The engine is closed; start it again to go on.");
  };

  const engine: EmbeddedEngine = {
    type: "embedded",
    runnerService: createRunnerService({ ...settings, runners, dispatcher, isClosed: () => closing !== undefined }),

    start: async () => {
      refuseWhenClosed();
      dispatcher.kick();
    },

    cancel: async (executionId, reason) => {
      refuseWhenClosed();
      await dispatcher.handOver(async () => {
        const state = await queue.requestCancel(executionId, reason);
        logger.info({ executionId, state, reason }, "A cancel was requested.");
        const holder = state === "leased" ? runners.holderOf(executionId) : undefined;
        const fence = holder?.leases.get(executionId);
        if (fence === undefined) return;
        const signal = { case: "cancel", value: { reason } } as const;
        holder?.events.push({ event: { case: "signal", value: { taskId: executionId, fence, signal } } });
      });
      dispatcher.kick({ settle: true });
    },

    metrics: async () => {
      const { waiting, leased, oldestWaitingAt } = await queue.counts();
      return {
        waiting,
        leased,
        oldestWaitingMs: oldestWaitingAt === undefined ? 0 : Math.max(0, clock.now() - oldestWaitingAt),
        runners: runners.all().map(({ runnerId, version, taskQueue, maxConcurrency, leases }) => ({
          runnerId,
          version,
          taskQueue,
          maxConcurrency,
          leased: leases.size,
        })),
      };
    },

    close: () => {
      closing ??= (async () => {
        for (const runner of runners.all()) runners.remove(runner);
        await dispatcher.close();
      })();
      return closing;
    },
  };
  dispatcher.kick();
  return engine;
}

function withoutUndefined<T extends object>(options: T): T {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as T;
}
