import type { AgentExecution } from "@stigmer/protos/agentexecution/v1";
import { type Clock, systemClock } from "../clock.ts";
import { DEFAULT_ACTIVITY_QUEUE, DEFAULT_WORKFLOW_QUEUE } from "../contract.ts";
import type { FinishedExecution } from "../embedded/create-engine.ts";
import type { QueueCounts, QueueStore } from "../embedded/queue-store.ts";
import type { Engine, EngineRunnerService, Logger } from "../engine.ts";
import { EngineError } from "../errors.ts";
import type { TemporalTls } from "./connect.ts";
import { loadTemporal } from "./load-temporal.ts";

export interface TemporalEngineOptions {
  /** `host:port` of Temporal's frontend. */
  readonly address: string;
  readonly namespace: string;
  /** How Temporal is reached where it is not in clear, and without a key. */
  readonly tls?: TemporalTls;
  readonly apiKey?: string;
  /**
   * Where the tasks are: what was created is here before Temporal knows of it, and what people want of a run is here before its
   * workflow is told. It is not closed with the engine.
   */
  readonly queue: QueueStore;
  /**
   * Whether engines of other servers lease from the same queue. Then each follows the runs that it has leased, any of them
   * answers runners and takes orders for all runs, and the runs of one that dies are followed by another one. Default false.
   */
  readonly shared?: boolean;
  /** How long an engine that shares its queue may be silent before another one follows its runs, in milliseconds. Default 15 000. */
  readonly serverTimeoutMs?: number;
  /**
   * Something was stored for a run that another engine follows: tells them, who then call `ordered`. May be lost, which costs
   * a third of `serverTimeoutMs`. Default: says nothing.
   */
  readonly onOrder?: (executionId: string) => void;
  /** Where this process listens for workflow tasks. Default `agent_execution_stigmer`. */
  readonly workflowTaskQueue?: string;
  /** Where runners listen for activities; also the queue that tasks are leased from. Default `agent_execution_runner`. */
  readonly runnerTaskQueue?: string;
  /**
   * The execution as a runner may see it: no values of secrets, which would stay in a history. Undefined when it is gone: its
   * task is then dropped. A rejection leaves the task for another try.
   */
  readonly loadExecution: (executionId: string) => Promise<AgentExecution | undefined>;
  /**
   * The thread of a session, given to it when it has none yet. Undefined for a session that is not there. Default: runners are asked,
   * each time before a run's first attempt.
   */
  readonly threadOf?: (sessionId: string) => Promise<string | undefined>;
  /**
   * Stores how an execution ended. Called at least once for each, before its task is done, so it must stand repetition; a
   * rejection is tried again. The fence is always undefined: a workflow that has ended gives nobody work any more.
   */
  readonly onFinished: (execution: FinishedExecution) => Promise<void>;
  /** Stores that an execution failed because all its attempts were lost. Repeated and tried again as `onFinished`. */
  readonly onExhausted: (executionId: string, message: string) => Promise<void>;
  readonly logger: Logger;
  /** How long a silent runner keeps its run, in milliseconds. Default 15 000. */
  readonly heartbeatTimeoutMs?: number;
  /** How often a run is tried without getting ahead before it is given up. Default 10. Attempts that were handed back in order are not counted. */
  readonly maxAttempts?: number;
  /** How long a run waits after its first failed attempt, in milliseconds; doubled with each further one, up to 30 s. Default 500. */
  readonly retryDelayMs?: number;
  /** How many runs of an organization are given to Temporal at once, by all engines that share the queue; others wait. Default: any number. */
  readonly maxRunsPerOrg?: number | undefined;
  readonly clock?: Clock;
}

/** The queue at one moment. */
export interface TemporalEngineMetrics extends Omit<QueueCounts, "oldestWaitingAt"> {
  /** How long the oldest waiting task has waited since it was enqueued, in milliseconds; 0 when none waits. */
  readonly oldestWaitingMs: number;
}

export interface TemporalEngine extends Engine {
  readonly type: "temporal";
  readonly runnerService: Required<Pick<EngineRunnerService, "claimExecution" | "checkExecution" | "releaseLease">>;
  metrics(): Promise<TemporalEngineMetrics>;
  /** Whether Temporal answered when it was asked last. */
  readonly connected: boolean;
  /** Another engine on the same queue has stored something for this run (`onOrder`). Never fails. */
  ordered(executionId: string): Promise<void>;
}

/**
 * Runs a queue through Temporal: each task becomes a workflow, which gives its attempts to runners. The workflows themselves run
 * in this process, and in those of other servers that share the queue.
 *
 * Throws `EngineError` in one line: `unavailable` when Temporal does not answer, `refused` when it has no such namespace or
 * turns us away, `invalid-argument`. Once it is started, a Temporal that is away is waited for.
 */
export async function createTemporalEngine(options: TemporalEngineOptions): Promise<TemporalEngine> {
  const defaults = {
    workflowTaskQueue: DEFAULT_WORKFLOW_QUEUE,
    runnerTaskQueue: DEFAULT_ACTIVITY_QUEUE,
    shared: false,
    serverTimeoutMs: 15_000,
    onOrder: () => {},
    threadOf: async () => undefined,
    heartbeatTimeoutMs: 15_000,
    maxAttempts: 10,
    retryDelayMs: 500,
    clock: systemClock,
  };
  const given = Object.entries(options).filter(([, value]) => value !== undefined);
  const settings = { ...defaults, ...(Object.fromEntries(given) as typeof options) } as TemporalEngineSettings;
  for (const name of ["heartbeatTimeoutMs", "maxAttempts", "serverTimeoutMs"] as const) {
    if (!(settings[name] >= 1))
      throw new EngineError("invalid-argument", `Expected ${name} of at least 1, got ${String(settings[name])}.`);
  }
  const { openEngine } = await loadTemporal(() => import("./open-engine.ts"));
  return openEngine(settings);
}

/** The options with their defaults. */
export type TemporalEngineSettings = Required<Omit<TemporalEngineOptions, Absent>> &
  Pick<TemporalEngineOptions, Absent>;

type Absent = "tls" | "apiKey" | "maxRunsPerOrg";
