import { toBinary } from "@bufbuild/protobuf";
import type { AgentExecution, AgentExecutionStatus } from "@stigmer/protos/agentexecution/v1";
import { InboxItemSchema } from "@stigmer/protos/runner/v1";
import { type Clock, systemClock } from "../clock.ts";
import type { Engine, EngineRunnerService, Logger, Standing } from "../engine.ts";
import { EngineError } from "../errors.ts";
import { createDispatcher } from "./dispatcher.ts";
import { type Order, signalEvent } from "./orders.ts";
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
   * rejection is tried again. Not called where the store ended the task together with the run (`Engine.leaseEnded`).
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
  /** How often a task is tried without getting ahead before it is given up. Default 10. Attempts that were handed back in order are not counted. */
  readonly maxAttempts?: number;
  /** How long a task waits after its first failed attempt, in milliseconds; doubled with each further one, up to 30 s. Default 500. */
  readonly retryDelayMs?: number;
  /** How many runs of an organization are in work at once; others wait. Default: any number. */
  readonly maxRunsPerOrg?: number | undefined;
  readonly clock?: Clock;
}

/** The end of an execution. Of `status` only phase, error, times and usage count: the rest came by `patchStatus`. */
export interface FinishedExecution {
  readonly executionId: string;
  /** The fence under which it ended. Undefined: nobody held it, it was cancelled while it waited. */
  readonly fence: number | undefined;
  readonly status: AgentExecutionStatus;
}

type TaskState = Awaited<ReturnType<QueueStore["resume"]>>;

const STANDINGS: Readonly<Record<TaskState, Standing>> = {
  waiting: "waiting",
  leased: "running",
  done: "over",
  unknown: "over",
};

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
  readonly leaseEnded: NonNullable<Engine["leaseEnded"]>;
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
    maxAttempts: 10,
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

  /** Whether an organization is known to have no room for another run. What this process does not know of may fill it, too. */
  function isFull(org: string | undefined): boolean {
    const { maxRunsPerOrg: most } = settings;
    return Boolean(org) && most !== undefined && runners.heldBy(org ?? "") >= most;
  }

  /** Stores what somebody wants of an execution, and tells its holder. */
  async function tell(executionId: string, store: () => Promise<TaskState>, order?: Order): Promise<Standing> {
    refuseWhenClosed();
    const state = await dispatcher.handOver(async () => {
      const stored = await store();
      const holder = stored === "leased" ? runners.holderOf(executionId) : undefined;
      const fence = holder?.leases.get(executionId)?.fence;
      // A holder whose stream is broken is told when it comes back.
      if (order && fence !== undefined) holder?.events.push(signalEvent({ taskId: executionId, fence }, order));
      return stored;
    });
    logger.info({ executionId, state, order: order?.case ?? "resume" }, "Something was asked of an execution.");
    if (order?.case !== "inbox") dispatcher.kick({ settle: true });
    return STANDINGS[state];
  }

  const engine: EmbeddedEngine = {
    type: "embedded",
    runnerService: createRunnerService({ ...settings, runners, dispatcher, isClosed: () => closing !== undefined }),

    start: async (executionId, whose) => {
      refuseWhenClosed();
      // The end of one of its runs, which makes room, is an offer too.
      if (!isFull(whose?.org)) dispatcher.offer(executionId);
    },

    ...(queue.commitsTogether && {
      expect: ({ org }: { readonly org: string }) => {
        if (!isFull(org)) dispatcher.offer();
      },
    }),

    cancel: async (executionId, reason) => {
      await tell(executionId, () => queue.requestCancel(executionId, reason), { case: "cancel", value: { reason } });
    },

    pause: (executionId, reason) => {
      const store = async (): Promise<TaskState> => {
        dispatcher.resumed.delete(executionId);
        return queue.pause(executionId, reason);
      };
      return tell(executionId, store, { case: "pause", value: { reason } });
    },

    // A holder that is coming to rest need not know: the task is given out again when it hands it back.
    resume: (executionId) => {
      const store = async (): Promise<TaskState> => {
        const state = await queue.resume(executionId);
        if (state === "leased") dispatcher.resumed.add(executionId);
        return state;
      };
      return tell(executionId, store);
    },

    deliver: (executionId, item) => {
      const payload = toBinary(InboxItemSchema, item);
      return tell(executionId, () => queue.deliver(executionId, { id: item.id, payload }), {
        case: "inbox",
        value: item,
      });
    },

    leaseEnded: ({ executionId, fence, runnerId }) => {
      const runner = runners.get(runnerId);
      if (runner) runner.heardAt = clock.now();
      runners.forget({ taskId: executionId, fence }, runnerId);
      dispatcher.resumed.delete(executionId);
      // Those who watch the run hear of its end before its room is given to another one.
      setImmediate(() => dispatcher.offer());
      logger.debug({ taskId: executionId, fence, runnerId }, "A task is done, with its run.");
    },

    metrics: async () => {
      const { waiting, paused, leased, oldestWaitingAt } = await queue.counts();
      return {
        waiting,
        paused,
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
