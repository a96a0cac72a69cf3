import type { Engine } from "@stigmer/engine";
import { EngineError } from "@stigmer/engine";
import { createEmbeddedEngine, type EmbeddedEngineOptions } from "@stigmer/engine/embedded";
import type { TemporalEngineOptions } from "@stigmer/engine/temporal";
import { ServerError } from "./errors.ts";
import type { Fanout, RunNotice } from "./fanout/fanout.ts";
import type { FanoutMetrics } from "./executions/run-statuses.ts";
import type { RetentionMetrics } from "./retention/create-retention.ts";

/** The queue inside the server: nothing to install. */
export interface EmbeddedEngineChoice {
  readonly type?: "embedded";
  /** How the engine treats runners; see `@stigmer/engine`. Change them in tests. */
  readonly leaseMs?: number;
  /** Default in local mode 250, where no network is between server and runner. */
  readonly reattachMs?: number;
  readonly recoverMs?: number;
  readonly maxAttempts?: number;
  readonly retryDelayMs?: number;
}

/** Temporal keeps the runs; its packages (`@temporalio/…`) have to be installed beside this one. */
export interface TemporalEngineChoice {
  readonly type: "temporal";
  /** `host:port` of Temporal's frontend. */
  readonly address: string;
  readonly namespace: string;
  /** Paths of PEM files; `{}` for TLS as this machine trusts it. Default: in clear. */
  readonly tls?: { readonly caFile?: string; readonly certFile?: string; readonly keyFile?: string };
  /** Sent with every call, over TLS alone. A secret. */
  readonly apiKey?: string;
  /** Where this server's workflow worker listens. Default `agent_execution_stigmer`. */
  readonly workflowTaskQueue?: string;
  /** How long a silent runner keeps its run, in milliseconds. Default 15 000. */
  readonly heartbeatTimeoutMs?: number;
  /** How long a server that shares its store may be silent before others follow its runs, in milliseconds. Default 15 000. */
  readonly serverTimeoutMs?: number;
  readonly maxAttempts?: number;
  readonly retryDelayMs?: number;
}

export type EngineChoice = EmbeddedEngineChoice | TemporalEngineChoice;

/** The queue, its runners and the fan-out at one moment, under any engine. */
export interface ServerMetrics {
  /** How many tasks wait for a runner, or for their turn or time. */
  readonly waiting: number;
  /** How many tasks are in work: a runner's, or Temporal's, also while it waits for one of its own. */
  readonly leased: number;
  /** How many runs rest until somebody resumes them. */
  readonly paused: number;
  /** How long the oldest waiting task has waited since it was enqueued, in milliseconds; 0 when none waits. */
  readonly oldestWaitingMs: number;
  /** Who takes tasks from this server. Empty under Temporal, which knows its runners itself. */
  readonly runners: readonly {
    readonly runnerId: string;
    readonly version: string;
    readonly taskQueue: string;
    readonly maxConcurrency: number;
    readonly leased: number;
  }[];
  /** How what happens comes to those who follow runs. */
  readonly fanout: FanoutMetrics;
  /** What was deleted because it was old; undefined where everything is kept. */
  readonly retention: RetentionMetrics;
}

export interface OpenEngine {
  readonly engine: Engine;
  /** Whether what it stands on answers; undefined for an engine that stands on the store alone. */
  isConnected(): boolean | undefined;
  metrics(): Promise<Omit<ServerMetrics, "paused" | "fanout" | "retention">>;
}

/** What an engine needs of the server, whichever it is. */
export type EngineNeeds = Pick<
  EmbeddedEngineOptions,
  "queue" | "loadExecution" | "onFinished" | "onExhausted" | "logger"
> & {
  readonly threadOf: NonNullable<TemporalEngineOptions["threadOf"]>;
  readonly taskQueue: string | undefined;
  readonly fanout: Fanout;
  readonly maxRunsPerOrg: number | undefined;
};

/** Makes the engine that was chosen. Throws `ServerError` `engine-unavailable` when it can't be used. */
export async function openEngine(choice: EngineChoice, needs: EngineNeeds): Promise<OpenEngine> {
  const { taskQueue: runnerTaskQueue, fanout, threadOf, ...server } = needs;
  if (choice.type !== "temporal") {
    const { type: _type, ...settings } = choice;
    const engine = createEmbeddedEngine({ ...settings, ...server });
    return { engine, isConnected: () => undefined, metrics: () => engine.metrics() };
  }
  const { type: _type, ...settings } = choice;
  try {
    // Only who chose it has its packages, and waits for them to be read.
    const { createTemporalEngine } = await import("@stigmer/engine/temporal");
    const { shared } = fanout;
    const onOrder = (executionId: string): void => fanout.publish(orderOf(executionId));
    const engine = await createTemporalEngine({ ...settings, ...server, threadOf, runnerTaskQueue, shared, onOrder });
    if (shared) fanout.subscribe("orders", ({ executionId }) => void engine.ordered(executionId));
    return {
      engine,
      isConnected: () => engine.connected,
      metrics: async () => {
        const { waiting, leased, oldestWaitingMs } = await engine.metrics();
        return { waiting, leased, oldestWaitingMs, runners: [] };
      },
    };
  } catch (error) {
    if (!EngineError.is(error)) throw error;
    throw new ServerError("engine-unavailable", error.message, { cause: error });
  }
}

function orderOf(executionId: string): RunNotice {
  const nothing = { org: "", sessionId: "", agentId: "", revision: 0, summaryChanged: false, amended: false };
  return { kind: "ordered", executionId, ...nothing };
}
