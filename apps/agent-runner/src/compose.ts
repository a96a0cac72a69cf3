// The one file that names drivers: everything below it takes contracts.
import { mkdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import {
  createMcpConnections,
  createPostgresCheckpointer,
  createSqliteLedger,
  openSqliteCheckpoints,
} from "@stigmer/agent";
import type { StigmerClient } from "@stigmer/client";
import { type Config, readConfigFile } from "@stigmer/config";
import { createEmbeddedWorker, type EmbeddedWorker } from "@stigmer/engine/embedded";
import { createWakeUps, type RedisConnection } from "@stigmer/engine/redis";
import { createTemporalWorker } from "@stigmer/engine/temporal";
import type { Activities } from "@stigmer/engine";
import { createSandbox } from "@stigmer/sandbox";
import type { ModelPrices } from "@stigmer/status";
import { createCleanupSandbox } from "./activities/cleanup-sandbox.ts";
import { createEnsureThread } from "./activities/ensure-thread.ts";
import { createExecuteGraphton } from "./activities/execute-graphton.ts";
import { createSandboxHolds } from "./connections/sandbox-holds.ts";
import { watchLeases } from "./health/watch-leases.ts";
import type { JsonLogger as Logger } from "@stigmer/telemetry";
import type { RunnerMetrics } from "./metrics.ts";
import { createIdleCollector } from "./process/collect-when-idle.ts";
import { modelsOf } from "./run/models-of.ts";
import { type Checkpoints, createPrepareAgent } from "./run/prepare-agent.ts";
import { createSessionWorkspaces } from "./run/session-workspaces.ts";
import { sandboxesOf } from "./sandboxes.ts";

/** What takes work from the engine, whichever it is. */
export type Worker = Pick<EmbeddedWorker, "run" | "ready" | "drain">;

/** A runner, put together. */
export interface Runner {
  readonly worker: Worker;
  /** Whether the engine can give it work right now. */
  readonly connected: boolean;
  /** Ends MCP servers and sandboxes, closes the checkpoints and the ledger. After `worker.run` has ended. */
  close(): Promise<void>;
}

export interface ComposeOptions {
  readonly config: Config;
  readonly client: StigmerClient;
  readonly version: string;
  /** Names this runner in leases and logs; new at every start, so that a predecessor's leases are never taken for its own. */
  readonly runnerId: string;
  readonly logger: Logger;
  /** Default: nothing is counted. */
  readonly metrics?: RunnerMetrics;
  /** In cloud mode. */
  readonly redis?: RedisConnection;
  /** This process's environment, for programs that are no agent's. */
  readonly hostEnv: Readonly<Record<string, string | undefined>>;
}

/** What the `docker` program needs to find its engine, its plugins and its credentials. */
const dockerVariables = [
  "PATH",
  "HOME",
  "DOCKER_HOST",
  "DOCKER_CONTEXT",
  "DOCKER_CONFIG",
  "DOCKER_CERT_PATH",
  "DOCKER_TLS_VERIFY",
];

/** Throws with what this runner does not have. */
export async function compose(options: ComposeOptions): Promise<Runner> {
  const { config, client, logger, metrics, redis } = options;
  const clock = (): Date => new Date();
  const { dataDir, workspacesDir } = config.homes;
  const sandboxes = sandboxesOf(config);
  const [own] = sandboxes;
  await own.check().catch((cause: unknown) => {
    throw new Error(`SANDBOX_TYPE=${own.type}: ${(cause as Error).message}`, { cause });
  });
  const workspaces = createSessionWorkspaces({
    sandboxes,
    holds: redis && createSandboxHolds({ redis, runnerId: options.runnerId, logger }),
    sharedRoot: config.isLocalMode ? config.sandboxRootDir : undefined,
    workspacesDir,
    dataDir,
    logger,
    onOpened: metrics?.sandboxOpened,
  });
  await mkdir(dataDir, { recursive: true, mode: 0o700 });
  const checkpoints = await openCheckpoints(config);
  const ledger = await createSqliteLedger({ path: join(dataDir, "tool-calls.db") });
  const resolveModel = modelsOf(config);
  const mcp = createMcpConnections({
    createProcessHost: (rootDir) =>
      createSandbox({ type: "filesystem", rootDir, inheritEnv: "minimal", hostEnv: options.hostEnv }),
    dockerEnv: Object.fromEntries(
      dockerVariables.flatMap((name) => (options.hostEnv[name] ? [[name, options.hostEnv[name]]] : [])),
    ),
  });
  // A file that can't be read fails the run where its model is chosen.
  const modelPrices = (): ModelPrices | undefined => {
    const file = readConfigFile(config.homes.configFile);
    return file.ok ? file.file.llm?.prices : undefined;
  };
  const allowsMcpPrograms = config.isLocalMode || config.allowsMcpPrograms;
  const prepareAgent = createPrepareAgent({
    workspaces,
    checkpoints,
    mcp,
    allowsMcpPrograms,
    resolveModel,
    modelPrices,
    clock,
  });
  const ensureThread = createEnsureThread({ client, logger });
  const executeGraphton = createExecuteGraphton({
    client,
    prepareAgent,
    ensureThread,
    localLedger: ledger,
    statusUpdateEveryEvents: config.statusUpdateEveryEvents,
    modelPrices,
    logger,
    metrics,
    clock,
  });
  const idle = createIdleCollector();
  const activities: Activities = {
    ensureThread,
    executeGraphton: (...run) => idle.during(() => executeGraphton(...run)),
    cleanupSandbox: createCleanupSandbox({ workspaces, mcp, checkpoints, workspacesDir, dataDir, logger }),
  };
  const { worker, isConnected } = createWorker(options, activities);
  return {
    worker,
    get connected() {
      return isConnected();
    },
    async close() {
      await mcp.close();
      await workspaces.dispose();
      await checkpoints.close();
      ledger.close();
    },
  };
}

function createWorker(
  { config, client, version, runnerId, logger, redis }: ComposeOptions,
  activities: Activities,
): { worker: Worker; isConnected: () => boolean } {
  const { engine, taskQueue, maxConcurrency } = config;
  const shared = { taskQueue, maxConcurrency, version, runnerId, logger, activities };
  if (engine.type === "temporal") {
    const { address, namespace, tls, apiKey } = engine;
    const wakeUps = redis && createWakeUps(redis);
    const worker = createTemporalWorker({
      ...shared,
      address,
      namespace,
      tls,
      apiKey,
      transport: client.transport,
      wakeUps,
    });
    return { worker, isConnected: () => worker.connected };
  }
  const leases = watchLeases(client.transport);
  const worker = createEmbeddedWorker({ ...shared, transport: leases.transport });
  return { worker, isConnected: () => leases.attached };
}

async function openCheckpoints({ checkpoints }: Config): Promise<Checkpoints> {
  if (checkpoints.type === "postgres") {
    const checkpointer = await createPostgresCheckpointer({ url: checkpoints.url }).catch((cause: unknown) => {
      throw new Error(`${(cause as Error).message} STIGMER_CHECKPOINT_URL names it.`, { cause });
    });
    return { checkpointer: async () => checkpointer, close: () => checkpointer.close() };
  }
  await mkdir(dirname(checkpoints.file), { recursive: true, mode: 0o700 });
  return openSqliteCheckpoints({ path: checkpoints.file });
}
