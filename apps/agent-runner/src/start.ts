import { randomUUID } from "node:crypto";
import { ClientError } from "@stigmer/client";
import { ConfigError, describeConfig, loadConfig, secretNames, type Config } from "@stigmer/config";
import { EngineError } from "@stigmer/engine";
import type { EmbeddedWorker } from "@stigmer/engine/embedded";
import { compose } from "./compose.ts";
import { createLogger, type Logger } from "./logger.ts";
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

/** Runs a runner until `shutdown`. Throws `FatalError` when it can't work. */
export async function start(options: StartOptions): Promise<void> {
  const { env, version, parent, shutdown, print } = options;
  const config = readConfig(env);
  if (!config.isLocalMode || config.engine.type !== "embedded") {
    throw new FatalError(
      "Failed to initialize worker: this runner works with the embedded engine in local mode: set MODE=local, and unset TEMPORAL_SERVICE_ADDRESS",
    );
  }
  const secrets = [...secretNames].map((name) => env[name]).filter((value) => value !== undefined);
  const logger = createLogger({ level: config.logLevel, secrets: [...secrets, config.backend.apiKey] });
  printBanner(config, options);

  const runnerId = `runner-${randomUUID()}`;
  const runner = await compose({ config, version, runnerId, logger }).catch((error: unknown) => {
    throw new FatalError(`Failed to initialize worker: ${(error as Error).message}`, { cause: error });
  });
  const working = runner.worker.run();
  // Whoever waits for `working` below sees the failure; until then it must not count as unhandled.
  working.catch(() => {});
  try {
    await reachServer(runner.worker.ready, config, shutdown);
    if (!shutdown.aborted) {
      print("Worker ready, polling for tasks...");
      parent.tell({ type: "ready" });
    }
    await drainAfter(shutdown, runner.worker, logger, working);
  } finally {
    await runner.worker.drain({ deadlineMs: 0 });
    await runner.close();
  }
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
  if (secretsInEnvironment.length > 0 && config.sandboxConfig().type === "filesystem") {
    print(
      `Note: ${secretsInEnvironment.join(", ")} came in this process's environment, where commands of an agent on the filesystem sandbox can read it. \`stigmer local start\` hands keys over by a pipe instead.`,
    );
  }
}

async function reachServer(ready: Promise<void>, { backend }: Config, shutdown: AbortSignal): Promise<void> {
  const ended = new Promise<"ended">((resolve) =>
    shutdown.addEventListener("abort", () => resolve("ended"), { once: true }),
  );
  const late = new Promise<"late">((resolve) => setTimeout(resolve, SERVER_WAIT_MS, "late").unref());
  try {
    if ((await Promise.race([ready, ended, late])) !== "late") return;
  } catch (error) {
    const reason = EngineError.is(error) || ClientError.is(error) ? error.message : String(error);
    throw new FatalError(`Failed to connect to stigmer-server at ${backend.endpoint}: ${reason}`, { cause: error });
  }
  throw new FatalError(
    `Failed to connect to stigmer-server at ${backend.endpoint}: no answer within ${SERVER_WAIT_MS / 1000} s. Start it with \`stigmer local start\`, or set STIGMER_BACKEND_ENDPOINT.`,
  );
}

/** Waits for the end of the work: asked for by `shutdown`, or because the server turned this runner away. */
async function drainAfter(
  shutdown: AbortSignal,
  worker: EmbeddedWorker,
  logger: Logger,
  working: Promise<void>,
): Promise<void> {
  const drain = (): void => {
    logger.info({ reason: String(shutdown.reason) }, "shutting down: finishing what runs");
    worker.drain({ deadlineMs: DRAIN_MS }).catch((error: unknown) => logger.error({ err: error }, "draining failed"));
  };
  if (shutdown.aborted) drain();
  else shutdown.addEventListener("abort", drain, { once: true });
  await working;
}
