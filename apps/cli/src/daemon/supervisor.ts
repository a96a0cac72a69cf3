import { type Homes, readServerConfig } from "@stigmer/config";
import { CliError } from "../errors.ts";
import type { JsonLogger } from "@stigmer/telemetry";
import { type ChildCommands, childCommands } from "./child-commands.ts";
import { type DaemonState, type ProcessName, removeState, writeState } from "./daemon-state.ts";
import { daemonFiles } from "./find-daemon.ts";
import { acquireLock, type Lock } from "./lock.ts";
import { limitLogs } from "./log-file.ts";
import type { RunnerChoice } from "./runner-choice.ts";
import { type RestartPolicy, restartPolicy, superviseChild, type SupervisedChild } from "./supervise-child.ts";
import { unwritableHome } from "./unwritable-home.ts";
import { readVersion } from "../version.ts";
import { modelVariables } from "./model-variables.ts";

export interface SupervisorOptions {
  readonly homes: Homes;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** For the runner alone, besides the secrets of `env`. */
  readonly secrets?: Readonly<Record<string, string>>;
  /** Where the runner runs. Default: a process. */
  readonly runner?: RunnerChoice;
  /** Temporal's command line, whose dev server keeps the runs. Default: the engine that the environment names. */
  readonly temporal?: string;
  /** 0 takes any free port; a restarted server keeps the one it had. Default 50051. */
  readonly port?: number;
  /** Gives up starting; what has started is stopped. */
  readonly signal?: AbortSignal;
  /** Told of every start, crash and end. Default: nobody is. */
  readonly logger?: JsonLogger;
  /** Default: `stigmer server run` and the agent-runner. */
  readonly children?: ChildCommands;
  readonly restarts?: RestartPolicy;
}

/** A server and a runner that are kept running. */
export interface Supervisor {
  state(): DaemonState;
  /** `127.0.0.1:<port>`. */
  readonly endpoint: string;
  /** Stops the runner, then the server. Resolves when no process is left. Idempotent. */
  stop(): Promise<void>;
  /** As `stop`, without waiting for what they do. May follow a `stop` that takes too long. */
  kill(): Promise<void>;
}

const LIMIT_LOGS_EVERY_MS = 15_000;
// The runner hands back what it can't finish within 8 s; the server ends its calls within 2.
const RUNNER_GRACE_MS = 12_000;
const SERVER_GRACE_MS = 5_000;

const silent: JsonLogger = { debug() {}, info() {}, warn() {}, error() {} };

/** Another process keeps this home's server and runner. */
export class AlreadyRunningError extends CliError {
  constructor(home: string) {
    super(
      "failed",
      `A daemon runs already in ${home}: see \`stigmer local status\`, or stop it with \`stigmer local stop\`.`,
    );
  }
}

/**
 * Starts Temporal where it is asked for, the server, then the runner, and starts each again when it crashes. Resolves when all are ready. Rejects, with
 * nothing left running, with `AlreadyRunningError` or a `CliError` that says in one line what is in the way, or with the
 * reason of `signal`.
 */
export async function startSupervisor(options: SupervisorOptions): Promise<Supervisor> {
  const { homes, signal, logger = silent, restarts = restartPolicy } = options;
  const commands =
    options.children ??
    childCommands({
      homes,
      env: options.env,
      secrets: options.secrets ?? {},
      runner: options.runner,
      temporal: options.temporal,
    });
  const { stateFile } = daemonFiles(homes);
  const lock = takeLock(homes);

  // A configuration that can't be read is told by the server, which doesn't start then.
  const config = readServerConfig({ ...options.env, MODE: "local" });
  const engine = commands.temporal ? "temporal" : config.ok ? config.config.engine.type : "embedded";
  const modelEnvironment = modelVariables({ ...options.env, ...options.secrets });
  const startedAt = new Date().toISOString();
  // Also with no child left to wait for: why there is none stays to be seen until somebody stops it.
  const staying = setInterval(keepLogsSmall, LIMIT_LOGS_EVERY_MS);
  function keepLogsSmall(): void {
    try {
      limitLogs(homes.logsDir);
    } catch (error) {
      logger.error({ err: error }, `the logs in ${homes.logsDir} can't be put aside`);
    }
  }
  let phase: DaemonState["state"] = "starting";
  let port = options.port ?? 50_051;
  let endpoint = "";
  const children: SupervisedChild[] = [];
  const state = (): DaemonState => ({
    pid: process.pid,
    startedAt,
    state: phase,
    dataDir: homes.dataDir,
    logsDir: homes.logsDir,
    ...(options.runner && { runner: options.runner }),
    endpoint,
    engine,
    processes: children.map((child) => child.snapshot()),
    version: readVersion(),
    modelEnvironment,
  });
  const publish = (): void => {
    try {
      writeState(stateFile, state());
    } catch (error) {
      // A full disk is no reason to end what runs.
      logger.error({ err: error }, `the state can't be written to ${stateFile}`);
    }
  };

  let stopping: Promise<void> | undefined;
  const stop = (): Promise<void> => {
    stopping ??= (async () => {
      phase = "stopping";
      // Who needs another goes before it.
      for (const child of children.toReversed()) {
        await child.stop(child.snapshot().name === "agent-runner" ? RUNNER_GRACE_MS : SERVER_GRACE_MS);
      }
      try {
        removeState(stateFile);
      } catch (error) {
        // Without the lock nobody believes it.
        logger.error({ err: error }, `${stateFile} can't be removed`);
      }
      lock.release();
      clearInterval(staying);
    })();
    return stopping;
  };
  const kill = async (): Promise<void> => {
    const stopped = stop();
    await Promise.all(children.map((child) => child.stop(0)));
    await stopped;
  };

  const startNext = async (
    name: ProcessName,
    command: () => ReturnType<ChildCommands["server"]>,
  ): Promise<number | undefined> => {
    signal?.throwIfAborted();
    const child = superviseChild({ name, command, restarts, logger, onChange: publish });
    children.push(child);
    publish();
    const message = await untilAborted(child.ready, signal);
    return message.port;
  };

  try {
    publish();
    const { temporal } = commands;
    let temporalPort: number | undefined;
    if (temporal) temporalPort = await startNext("temporal", () => temporal(temporalPort ?? 0));
    port = (await startNext("stigmer-server", () => commands.server(port, temporalPort))) ?? port;
    endpoint = `127.0.0.1:${port}`;
    await startNext("agent-runner", () => commands.runner(port, temporalPort));
    phase = "running";
    publish();
  } catch (error) {
    await stop();
    if (CliError.is(error) || signal?.aborted) throw error;
    throw new CliError("failed", error instanceof Error ? error.message : String(error), { cause: error });
  }
  return { state, endpoint, stop, kill };
}

function takeLock(homes: Homes): Lock {
  const { lockFile, stateFile } = daemonFiles(homes);
  let lock: Lock | undefined;
  try {
    lock = acquireLock(lockFile, () => removeState(stateFile));
  } catch (error) {
    throw unwritableHome(homes, error);
  }
  if (!lock) throw new AlreadyRunningError(homes.home);
  return lock;
}

function untilAborted<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return promise;
  return new Promise((resolve, reject) => {
    const abort = (): void => reject(signal.reason as Error);
    if (signal.aborted) abort();
    signal.addEventListener("abort", abort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", abort));
  });
}
