import { join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import {
  ConfigError,
  type LocalServerConfig,
  readSecretsPipe,
  readServerConfig,
  type ServerConfig,
  secretNames,
} from "@stigmer/config";
import {
  type EngineChoice,
  type RunningServer,
  ServerError,
  startServer,
  type StartServerOptions,
  type StoreChoice,
} from "@stigmer/server";
import { openMetrics, startTracing } from "@stigmer/telemetry";
import type { CommandIo } from "../command-io.ts";
import type { ChildMessage } from "../daemon/child-process.ts";
import { createLogStream } from "../daemon/log-stream.ts";
import { makeDirectory } from "../daemon/make-directory.ts";
import { tellParent } from "../daemon/tell-parent.ts";
import { CliError } from "../errors.ts";
import { createJsonLogger } from "@stigmer/telemetry";
import { writeLine } from "../output/write.ts";
import { readVersion } from "../version.ts";
import { releaseStartMemory } from "./release-start-memory.ts";

export interface ServerRunOptions {
  /** 0 takes any free one. Default: `STIGMER_PORT`, else 50051. */
  readonly port?: number;
  /** The address to listen on. Default: `STIGMER_LISTEN_HOST`, else all of them. */
  readonly host?: string;
  /** PEM files. Default: `STIGMER_TLS_CERT_FILE` and `STIGMER_TLS_KEY_FILE`. */
  readonly tlsCert?: string;
  readonly tlsKey?: string;
}

/**
 * Runs stigmer-server in this process until SIGTERM, Ctrl-C, or the end of the daemon that started it. A second signal does not wait for
 * what is in flight.
 */
export async function serverRun(options: ServerRunOptions, io: CommandIo): Promise<void> {
  // A daemon's child prints into log files.
  const { stdout, stderr } = process.connected ? { stdout: createLogStream(1), stderr: createLogStream(2) } : io;
  const tell = (message: ChildMessage): Promise<void> => tellParent(message);
  const asked = Promise.withResolvers<void>();
  const stopListening = io.onSignal(() => {
    // From here on a second signal ends the process at once, as it does by itself.
    stopListening();
    asked.resolve();
  });
  process.once("disconnect", asked.resolve);
  // It may be gone before this listened: `send` stays when the channel closes.
  if (process.send && !process.connected) asked.resolve();
  const closers: (() => Promise<unknown>)[] = [];
  try {
    const { server, drainMs } = await start(options, { ...io, stderr }, closers);
    writeLine(stdout, `stigmer-server is ready on ${server.endpoint}`);
    await tell({ type: "ready", port: server.port });
    const keepMemory = releaseStartMemory();
    closers.push(async () => keepMemory());
    const closed = await Promise.race([asked.promise, server.closed]);
    if (closed) throw new CliError("failed", closed);
    closers.push(() => server.close());
    if (drainMs > 0) {
      server.drain();
      await Promise.race([sleep(drainMs), server.closed]);
    }
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    await tell({ type: "failed", message });
    throw CliError.is(error) ? error : new CliError("failed", message, { cause: error });
  } finally {
    for (const close of closers.toReversed()) await close();
    process.off("disconnect", asked.resolve);
    stopListening();
  }
}

/** What is to be closed at the end, besides the server, goes to `closers`. */
async function start(
  options: ServerRunOptions,
  io: CommandIo,
  closers: (() => Promise<unknown>)[],
): Promise<{ readonly server: RunningServer; readonly drainMs: number }> {
  const env = { ...io.env, ...(await readSecretsPipe(io.env)) };
  // Cloud mode is the config's default; a server that a person starts by hand here is theirs.
  const result = readServerConfig({ ...env, ...flagsAsVariables(options, io.cwd), MODE: env["MODE"] || "local" });
  if (!result.ok) throw new ConfigError(result.problems);
  const { config } = result;
  const { host, tlsCert, tlsKey } = options;
  if (config.isLocalMode && (host ?? tlsCert ?? tlsKey) !== undefined) {
    const text =
      "A server of local mode listens on 127.0.0.1 alone, without TLS: --host, --tls-cert and --tls-key are for MODE=cloud.";
    throw new CliError("usage", text);
  }
  const { serviceName = "stigmer-server", ...where } = config.traces;
  const logger = createJsonLogger({ level: config.logLevel, secrets: secretsOf(env), destination: io.stderr });
  const onError = (err: unknown): void => logger.warn({ err }, "spans were lost");
  const tracing = await startTracing({ serviceName, version: readVersion(), ...where, onError });
  closers.push(() => tracing.close());
  const meters = config.metrics && (await openMetrics(config.metrics));
  if (meters) {
    closers.push(() => meters.close());
    logger.info({ url: meters.url }, "metrics are served");
  }
  try {
    const port = options.port ?? config.port;
    const server = await startServer({ ...optionsOf(config), port, logger, meters });
    return { server, drainMs: config.isLocalMode ? 0 : config.drainSeconds * 1_000 };
  } catch (error) {
    if (!ServerError.is(error) || error.code !== "engine-unavailable") throw error;
    const without = config.isLocalMode ? "; STIGMER_ENGINE=embedded does without" : "";
    const advice = `TEMPORAL_SERVICE_ADDRESS and TEMPORAL_NAMESPACE name it${without}.`;
    throw new CliError("failed", `Failed to connect to Temporal: ${error.message} ${advice}`, { cause: error });
  }
}

/** What no line of the log may show. */
function secretsOf(env: Readonly<Record<string, string | undefined>>): string[] {
  return secretNames.flatMap((name) => env[name] ?? []);
}

/** A flag goes before its variable, and is checked as it. */
function flagsAsVariables({ host, tlsCert, tlsKey }: ServerRunOptions, cwd: string): Readonly<Record<string, string>> {
  return {
    ...(host !== undefined && { STIGMER_LISTEN_HOST: host }),
    ...(tlsCert !== undefined && { STIGMER_TLS_CERT_FILE: resolve(cwd, tlsCert) }),
    ...(tlsKey !== undefined && { STIGMER_TLS_KEY_FILE: resolve(cwd, tlsKey) }),
  };
}

function optionsOf(config: ServerConfig): StartServerOptions {
  const { homes, mode, allowedOrigins, retentionDays, auditDays, runnerTaskQueue: taskQueue } = config;
  const engine = engineOf(config);
  const { home, dataDir } = homes;
  const shared = { mode, home, dataDir, engine, allowedOrigins, taskQueue, retentionDays, auditDays };
  const encryptionKey = config.encryption.type === "key" ? { encryptionKey: config.encryption.key } : {};
  if (!config.isLocalMode) {
    // Nothing of it is on this machine: servers come and go.
    const { database: store, redis, limits, oidc, host, tls } = config;
    return { ...shared, ...encryptionKey, store, fanout: { type: "redis", ...redis }, limits, oidc, host, tls };
  }
  const store = storeOf(config);
  for (const directory of [homes.home, homes.dataDir]) makeUsable(directory);
  return { ...shared, ...encryptionKey, store, allowedHosts: config.allowedHosts };
}

export function storeOf({ database, homes }: LocalServerConfig): StoreChoice {
  if (database.type === "postgres") return database;
  // The database is where the data directory is.
  if (database.file === join(homes.dataDir, "stigmer.db")) return {};
  throw new CliError(
    "failed",
    `SQLite's database is always ${join(homes.dataDir, "stigmer.db")}: choose its folder with STIGMER_DATA_DIR, and unset STIGMER_DATABASE_URL or set it to a postgres:// URL.`,
  );
}

function engineOf({ engine, workflowTaskQueue }: ServerConfig): EngineChoice | undefined {
  if (engine.type === "embedded") return undefined;
  return { ...engine, workflowTaskQueue };
}

function makeUsable(directory: string): void {
  try {
    makeDirectory(directory);
  } catch (error) {
    throw new CliError(
      "failed",
      `Cannot write to ${directory}: ${(error as Error).message}. Make it writable, or choose another one with STIGMER_HOME or STIGMER_DATA_DIR.`,
      { cause: error },
    );
  }
}
