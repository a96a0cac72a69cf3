import type { Homes } from "@stigmer/config";
import { CliError } from "../errors.ts";
import { type ChildCommands, childCommands } from "./child-commands.ts";
import { type DaemonState, removeState, writeState } from "./daemon-state.ts";
import { daemonFiles } from "./find-daemon.ts";
import { acquireLock } from "./lock.ts";
import { type RestartPolicy, restartPolicy, superviseChild, type SupervisedChild } from "./supervise-child.ts";

export interface SupervisorOptions {
  readonly homes: Homes;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** For the runner alone, besides the secrets of `env`. */
  readonly secrets?: Readonly<Record<string, string>>;
  /** 0 takes any free port; a restarted server keeps the one it had. Default 50051. */
  readonly port?: number;
  /** Gives up starting; what has started is stopped. */
  readonly signal?: AbortSignal;
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
}

// The runner hands back what it can't finish within 8 s; the server ends its calls within 2.
const RUNNER_GRACE_MS = 12_000;
const SERVER_GRACE_MS = 5_000;

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
 * Starts the server, then the runner, and starts each again when it crashes. Resolves when both are ready. Rejects, with
 * nothing left running, with `AlreadyRunningError` or a `CliError` that says in one line what is in the way.
 */
export async function startSupervisor(options: SupervisorOptions): Promise<Supervisor> {
  const { homes, signal, restarts = restartPolicy } = options;
  const commands = options.children ?? childCommands({ homes, env: options.env, secrets: options.secrets ?? {} });
  const { lockFile, stateFile } = daemonFiles(homes);
  const lock = await acquireLock(lockFile).catch((error: unknown) => {
    throw new CliError(
      "failed",
      `Cannot write to ${homes.home}: ${(error as Error).message}. Choose another directory with STIGMER_HOME.`,
      { cause: error },
    );
  });
  if (!lock) throw new AlreadyRunningError(homes.home);

  const startedAt = new Date().toISOString();
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
    endpoint,
    engine: "embedded",
    processes: children.map((child) => child.snapshot()),
  });
  const publish = (): void => {
    if (stopping === undefined || phase === "stopping") writeState(stateFile, state());
  };

  let stopping: Promise<void> | undefined;
  const stop = (): Promise<void> => {
    stopping ??= (async () => {
      phase = "stopping";
      const [server, runner] = children;
      await runner?.stop(RUNNER_GRACE_MS);
      await server?.stop(SERVER_GRACE_MS);
      removeState(stateFile);
      lock.release();
    })();
    return stopping;
  };

  const startNext = async (
    name: "stigmer-server" | "agent-runner",
    command: () => ReturnType<ChildCommands["server"]>,
  ): Promise<number | undefined> => {
    const child = superviseChild({ name, command, restarts, onChange: () => publish() });
    children.push(child);
    publish();
    const message = await untilAborted(child.ready, signal);
    return message.port;
  };

  try {
    publish();
    port = (await startNext("stigmer-server", () => commands.server(port))) ?? port;
    endpoint = `127.0.0.1:${port}`;
    await startNext("agent-runner", () => commands.runner(port));
    phase = "running";
    publish();
  } catch (error) {
    await stop();
    if (CliError.is(error) || signal?.aborted) throw error;
    throw new CliError("failed", error instanceof Error ? error.message : String(error), { cause: error });
  }
  return { state, endpoint, stop };
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
