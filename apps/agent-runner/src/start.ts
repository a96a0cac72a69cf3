import { randomUUID } from "node:crypto";
import { createClient, type StigmerClient } from "@stigmer/client";
import { ConfigError, describeConfig, loadConfig, secretNames, type Config } from "@stigmer/config";
import { EngineError } from "@stigmer/engine";
import { connectRedis, type RedisConnection } from "@stigmer/engine/redis";
import { checkTemporal } from "@stigmer/engine/temporal";
import { type MetricsServer, openMetrics, startTracing, type Tracing } from "@stigmer/telemetry";
import { compose, type Runner } from "./compose.ts";
import { greetServer } from "./connections/greet-server.ts";
import { type Condition, startHealthServer, type HealthServer, type NotReady } from "./health/health-server.ts";
import { createJsonLogger, type JsonLogger as Logger } from "@stigmer/telemetry";
import { createRunnerMetrics, type RunnerMetrics, watchProcess } from "./metrics.ts";
import type { ParentChannel } from "./process/parent-channel.ts";

export interface StartOptions {
  /** Variables as the process has them, with the secrets that came by the pipe. */
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly version: string;
  readonly parent: ParentChannel;
  /** Aborted when the process is asked to end. */
  readonly shutdown: AbortSignal;
  /** Where the banner and fatal lines go. */
  readonly print: (line: string) => void;
  /** The secrets came in the environment, where a command of an agent can read them. */
  readonly secretsInEnvironment: readonly string[];
}

/** A fault that ends the runner; `message` is the one line that says so. */
export class FatalError extends Error {
  override readonly name = "FatalError";
}

// The daemon waits a little longer than this before it kills.
const DRAIN_MS = 8_000;
// A server that starts beside its runner gets this long.
const SERVER_WAIT_MS = 5_000;
// It was there a moment ago; loading Temporal's packages on a busy machine takes its time.
const READY_WAIT_MS = 15_000;

const WITHOUT_REDIS =
  "cancels and messages are asked for once a second, and a session's sandbox goes to whoever has its run, until it is back";

/** Runs a runner until `shutdown`. Throws `FatalError` when it can't work. */
export async function start(options: StartOptions): Promise<void> {
  const { env, shutdown, print } = options;
  const config = readConfig(env);
  const secrets = [...secretNames].map((name) => env[name]).filter((value) => value !== undefined);
  const logger = createJsonLogger({ level: config.logLevel, secrets: [...secrets, config.backend.apiKey] });
  printBanner(config, options);

  const life: Life = { runner: undefined, started: false };
  const closers: (() => Promise<void> | void)[] = [];
  try {
    const tracing = await openTracing(config, options.version, logger);
    closers.push(() => tracing.close());
    let redis: RedisConnection | undefined;
    const health = await serveHealth(config, {
      notReady: () => notReady(life, shutdown),
      degraded: () => (redis && !redis.connected ? "Redis is away" : undefined),
    });
    if (health) {
      closers.push(() => health.close());
      print(`Health:     ${health.url}/healthz, ${health.url}/readyz`);
    }
    redis = await openRedis(config, logger);
    if (redis) closers.push(redis.close);
    const served = await serveMetrics(config);
    if (served) {
      closers.push(() => served.close());
      print(`Metrics:    ${served.url}`);
    }
    let metrics: RunnerMetrics | undefined;
    if (served) {
      metrics = createRunnerMetrics(served);
      const engine = (): boolean => life.runner?.connected ?? false;
      const connection = redis;
      closers.push(watchProcess(served, { engine, ...(connection && { redis: () => connection.connected }) }));
    }
    if (shutdown.aborted) return;
    await reachTemporal(config, logger);
    if (shutdown.aborted) return;
    const client = createClient(config.backend);
    closers.push(() => client.close());
    const runnerId = `runner-${randomUUID()}`;
    await greet(config, { client, runnerId, ...options });
    if (shutdown.aborted) return;
    const parts = { config, client, version: options.version, runnerId, logger, metrics, redis, hostEnv: env };
    life.runner = await compose(parts).catch(cannotWork);
    await work(life, { config, logger, ...options });
  } finally {
    for (const close of closers.toReversed()) await close();
  }
}

/** What `/readyz` looks at. */
interface Life {
  runner: Runner | undefined;
  started: boolean;
}

function notReady({ runner, started }: Life, shutdown: AbortSignal): NotReady | undefined {
  if (shutdown.aborted) return "draining";
  if (!started || !runner) return "starting";
  return runner.connected ? undefined : "disconnected";
}

function readConfig(env: StartOptions["env"]): Config {
  try {
    return loadConfig(env);
  } catch (error) {
    if (!ConfigError.is(error)) throw error;
    // Its message begins with "Failed to load configuration: ".
    throw new FatalError(error.message, { cause: error });
  }
}

function printBanner(config: Config, { print, secretsInEnvironment, version }: StartOptions): void {
  const rule = "=".repeat(60);
  print(rule);
  print(`Stigmer Agent Runner - ${config.mode.toUpperCase()} Mode (${version})`);
  print(rule);
  for (const line of describeConfig(config)) print(line);
  if (secretsInEnvironment.length > 0 && config.sandboxConfigs().some(({ type }) => type === "filesystem")) {
    print(
      `Note: ${secretsInEnvironment.join(", ")} came in this process's environment, where commands of an agent on the filesystem sandbox can read it. \`stigmer local start\` hands keys over by a pipe instead.`,
    );
  }
}

async function serveHealth(config: Config, condition: Condition): Promise<HealthServer | undefined> {
  if (!config.health) return undefined;
  try {
    return await startHealthServer(config.health, condition);
  } catch (error) {
    const { message } = error as Error;
    throw new FatalError(
      `Failed to initialize worker: STIGMER_RUNNER_HEALTH_PORT=${config.health.port} can't be listened on (${message}); name a free port`,
      { cause: error },
    );
  }
}

async function openTracing({ traces }: Config, version: string, logger: Logger): Promise<Tracing> {
  const { serviceName = "stigmer-agent-runner", ...where } = traces;
  const onError = (err: unknown): void => logger.warn({ err }, "spans were lost");
  return startTracing({ serviceName, version, ...where, onError }).catch(cannotWork);
}

async function serveMetrics({ metrics }: Config): Promise<MetricsServer | undefined> {
  return metrics && openMetrics(metrics).catch(cannotWork);
}

async function openRedis(config: Config, logger: Logger): Promise<RedisConnection | undefined> {
  if (config.isLocalMode) return undefined;
  try {
    return await connectRedis(config.redis, { logger, meanwhile: WITHOUT_REDIS });
  } catch (error) {
    throw new FatalError(`Failed to connect to Redis: ${(error as Error).message}`, { cause: error });
  }
}

async function reachTemporal({ engine }: Config, logger: Logger): Promise<void> {
  if (engine.type !== "temporal") return;
  try {
    await checkTemporal(engine, logger);
  } catch (error) {
    throw temporalFailed(error);
  }
}

function temporalFailed(error: unknown): unknown {
  if (!EngineError.is(error)) return error;
  return new FatalError(
    `Failed to connect to Temporal: ${error.message} TEMPORAL_SERVICE_ADDRESS and TEMPORAL_NAMESPACE name them.`,
    { cause: error },
  );
}

interface Greet extends Pick<StartOptions, "version" | "shutdown"> {
  readonly client: StigmerClient;
  readonly runnerId: string;
}

async function greet(config: Config, { client, runnerId, version, shutdown }: Greet): Promise<void> {
  const mismatch = await greetServer({
    runner: client.runner,
    runnerId,
    version,
    engine: config.engine.type,
    endpoint: config.backend.endpoint,
    waitMs: SERVER_WAIT_MS,
    signal: shutdown,
    clock: Date.now,
  });
  if (mismatch?.kind === "unreachable") throw unreachable(config, mismatch.reason);
  if (mismatch) throw new FatalError(`Failed to initialize worker: ${mismatch.reason}`);
}

interface Work extends Pick<StartOptions, "shutdown" | "print" | "parent"> {
  readonly config: Config;
  readonly logger: Logger;
}

/** Works until the runner is told to end, or is turned away. */
async function work(life: Life, { config, logger, shutdown, print, parent }: Work): Promise<void> {
  const { runner } = life;
  if (!runner) return;
  const { worker } = runner;
  const working = worker.run();
  // Whoever waits for it below sees the failure; until then it must not count as unhandled.
  working.catch(() => {});
  const drain = (): void => {
    logger.info({ reason: String(shutdown.reason) }, "shutting down: finishing what runs");
    worker.drain({ deadlineMs: DRAIN_MS }).catch((error: unknown) => logger.error({ err: error }, "draining failed"));
  };
  try {
    await settled(worker.ready, shutdown, () => lateReady(config));
    if (shutdown.aborted) drain();
    else {
      shutdown.addEventListener("abort", drain, { once: true });
      life.started = true;
      print("Worker ready, polling for tasks...");
      parent.tell({ type: "ready" });
    }
    await working;
  } catch (error) {
    if (!EngineError.is(error)) throw error;
    if (error.code === "turned-away")
      throw unreachable(config, `${error.message}. Set STIGMER_API_KEY to a key of a runner`, error);
    throw config.engine.type === "temporal" ? temporalFailed(error) : unreachable(config, error.message, error);
  } finally {
    shutdown.removeEventListener("abort", drain);
    await worker.drain({ deadlineMs: 0 });
    await runner.close();
  }
}

/** Waits for the worker to be taken in, for the end to be asked for, or for too long. */
async function settled(ready: Promise<void>, shutdown: AbortSignal, late: () => FatalError): Promise<void> {
  const over = new AbortController();
  const waiting = new Promise<void>((resolve, reject) => {
    const timer = setTimeout(() => reject(late()), READY_WAIT_MS);
    over.signal.addEventListener("abort", () => clearTimeout(timer), { once: true });
    if (shutdown.aborted) resolve();
    else shutdown.addEventListener("abort", () => resolve(), { once: true, signal: over.signal });
  });
  try {
    await Promise.race([ready, waiting]);
  } finally {
    over.abort();
  }
}

function lateReady(config: Config): FatalError {
  const reason = `this runner was not taken in within ${READY_WAIT_MS / 1000} s`;
  if (config.engine.type === "temporal") return new FatalError(`Failed to connect to Temporal: ${reason}`);
  return unreachable(config, reason);
}

function unreachable({ backend }: Config, reason: string, cause?: unknown): FatalError {
  return new FatalError(`Failed to connect to stigmer-server at ${backend.endpoint}: ${reason}`, { cause });
}

function cannotWork(error: unknown): never {
  throw new FatalError(`Failed to initialize worker: ${(error as Error).message}`, { cause: error });
}
