// The one file that names drivers: everything below it takes contracts.
import { mkdir } from "node:fs/promises";
import { dirname } from "node:path";
import { createSqliteCheckpointer, type ModelConfig } from "@stigmer/agent";
import { createClient, type StigmerClient } from "@stigmer/client";
import { type LocalConfig, probeOllama, readConfigFile } from "@stigmer/config";
import { createEmbeddedWorker, type EmbeddedWorker } from "@stigmer/engine/embedded";
import { createSandbox } from "@stigmer/sandbox";
import { createCleanupSandbox } from "./activities/cleanup-sandbox.ts";
import { createEnsureThread } from "./activities/ensure-thread.ts";
import { createExecuteGraphton } from "./activities/execute-graphton.ts";
import type { Logger } from "./logger.ts";
import { createPrepareAgent } from "./run/prepare-agent.ts";
import { RunError } from "./run/run-error.ts";
import { createSessionWorkspaces } from "./run/session-workspaces.ts";

/** A runner, put together. */
export interface Runner {
  readonly worker: EmbeddedWorker;
  readonly client: StigmerClient;
  /** Ends the sandboxes, closes the checkpoints and the connection. After `worker.run` has ended. */
  close(): Promise<void>;
}

export interface ComposeOptions {
  readonly config: LocalConfig;
  readonly version: string;
  /** Names this runner in leases and logs; new at every start, so that a predecessor's leases are never taken for its own. */
  readonly runnerId: string;
  readonly logger: Logger;
}

export async function compose({ config, version, runnerId, logger }: ComposeOptions): Promise<Runner> {
  const clock = (): Date => new Date();
  if (config.checkpoints.type !== "sqlite") {
    throw new Error("STIGMER_CHECKPOINT_URL: this runner keeps checkpoints in SQLite only; unset it, or give a file");
  }
  await mkdir(dirname(config.checkpoints.file), { recursive: true, mode: 0o700 });
  const checkpointer = await createSqliteCheckpointer({ path: config.checkpoints.file });
  const client = createClient({ endpoint: config.backend.endpoint, apiKey: config.backend.apiKey });
  const workspaces = createSessionWorkspaces({
    createSandbox: (rootDir) => {
      const sandbox = config.sandboxConfig({ rootDir });
      if (sandbox.type !== "filesystem")
        throw new RunError(`SANDBOX_TYPE=${sandbox.type}: this runner has the filesystem sandbox only`);
      return createSandbox(sandbox);
    },
    sharedRoot: config.sandboxRootDir,
    workspacesDir: config.homes.workspacesDir,
    dataDir: config.homes.dataDir,
  });

  async function resolveModel(modelName: string | undefined): Promise<ModelConfig> {
    const file = readConfigFile(config.homes.configFile);
    if (!file.ok) throw new RunError(file.problems.map(({ message }) => message).join("; "));
    const choice = { modelName, file: file.file.llm };
    const withoutOllama = config.resolveModel({ ...choice, ollamaReachable: false });
    // Ollama is asked only when nothing else names a model: a probe of a port that drops packets takes its time.
    const model =
      withoutOllama.provider === "none" && (await probeOllama(config.ollamaBaseUrl))
        ? config.resolveModel({ ...choice, ollamaReachable: true })
        : withoutOllama;
    if (model.provider === "none") throw new RunError(model.hint);
    return model;
  }

  const prepareAgent = createPrepareAgent({ workspaces, checkpointer, resolveModel, logger, clock });
  const worker = createEmbeddedWorker({
    transport: client.transport,
    taskQueue: config.taskQueue,
    runnerId,
    maxConcurrency: config.maxConcurrency,
    version,
    logger,
    activities: {
      ensureThread: createEnsureThread({ client, logger }),
      executeGraphton: createExecuteGraphton({
        client,
        prepareAgent,
        statusUpdateEveryEvents: config.statusUpdateEveryEvents,
        logger,
        clock,
      }),
      cleanupSandbox: createCleanupSandbox({
        workspaces,
        checkpointer,
        workspacesDir: config.homes.workspacesDir,
        dataDir: config.homes.dataDir,
        logger,
      }),
    },
  });
  return {
    worker,
    client,
    async close() {
      await workspaces.dispose();
      checkpointer.close();
      client.close();
    },
  };
}
