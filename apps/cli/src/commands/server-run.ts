import { ConfigError, readSecretsPipe, readServerConfig } from "@stigmer/config";
import { startServer } from "@stigmer/server";
import type { CommandIo } from "../command-io.ts";
import type { ChildMessage } from "../daemon/child-process.ts";
import { CliError, exitCodes } from "../errors.ts";
import { createJsonLogger } from "../output/json-logger.ts";
import { writeLine } from "../output/write.ts";

export interface ServerRunOptions {
  readonly port?: number;
}

/** Runs stigmer-server in this process until SIGTERM, Ctrl-C, or the end of the daemon that started it. */
export async function serverRun(options: ServerRunOptions, io: CommandIo): Promise<number> {
  const tell = (message: ChildMessage): void => {
    if (process.connected) process.send?.(message, undefined, undefined, () => {});
  };
  const asked = Promise.withResolvers<void>();
  let stopping = false;
  const stop = (): void => {
    if (stopping) process.exit(exitCodes.interrupted);
    stopping = true;
    asked.resolve();
  };
  const stopListening = io.onSignal(stop);
  if (process.connected) process.once("disconnect", () => asked.resolve());
  try {
    const server = await start(options, io);
    writeLine(io.stdout, `stigmer-server is ready on ${server.endpoint}`);
    tell({ type: "ready", port: server.port });
    await asked.promise;
    await server.close();
    return 0;
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    tell({ type: "failed", message });
    throw CliError.is(error) ? error : new CliError("failed", message, { cause: error });
  } finally {
    stopListening();
  }
}

async function start(options: ServerRunOptions, io: CommandIo): Promise<Awaited<ReturnType<typeof startServer>>> {
  const env = { ...io.env, ...(await readSecretsPipe(io.env)) };
  // Cloud mode is the config's default; a server that a person starts by hand here is theirs.
  const result = readServerConfig({ ...env, MODE: env["MODE"] || "local" });
  if (!result.ok) throw new ConfigError(result.problems);
  const { config } = result;
  if (!config.isLocalMode || config.engine.type !== "embedded" || config.database.type !== "sqlite") {
    throw new CliError(
      "failed",
      "This server works in local mode with SQLite and the embedded engine: set MODE=local, and unset TEMPORAL_SERVICE_ADDRESS and STIGMER_DATABASE_URL.",
    );
  }
  return startServer({
    home: config.homes.home,
    dataDir: config.homes.dataDir,
    port: options.port ?? config.port,
    ...(config.encryption.type === "key" && { encryptionKey: config.encryption.key }),
    taskQueue: config.runnerTaskQueue,
    logger: createJsonLogger(io.stderr, config.logLevel),
  });
}
