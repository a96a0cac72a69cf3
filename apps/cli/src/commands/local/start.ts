import { ConfigError, type Homes, readServerConfig, resolveHome } from "@stigmer/config";
import type { CommandIo } from "../../command-io.ts";
import type { DaemonState } from "../../daemon/daemon-state.ts";
import { findDaemon } from "../../daemon/find-daemon.ts";
import { startDetached, type StartedDaemon } from "../../daemon/start-detached.ts";
import type { RunnerChoice } from "../../daemon/runner-choice.ts";
import { CliError } from "../../errors.ts";
import { writeLine } from "../../output/write.ts";
import { checkRunner, type RunnerOptions, runnerOf } from "./choose-runner.ts";
import { chooseTemporal } from "./choose-temporal.ts";
import { withDaemonProgress } from "./daemon-progress.ts";
import { findModelKey } from "./model-key.ts";
import { showDaemon, toStatusJson } from "./show-daemon.ts";

export interface LocalStartOptions extends RunnerOptions {
  /** 0 takes any free one. Default: `STIGMER_PORT`, else 50051. */
  readonly port?: number;
  /** Default: what the environment names, or what the daemon had before its restart. */
  readonly engine?: "embedded" | "temporal";
  /** Fetches a missing program without asking. */
  readonly yes?: boolean;
  readonly foreground?: boolean;
  readonly json?: boolean;
}

/** Starts the server and the runner, in the background unless asked to stay. A daemon that runs already is as good. */
export async function localStart(options: LocalStartOptions, io: CommandIo): Promise<number | void> {
  const running = await findDaemon(resolveHome(io.env));
  if (running?.state === "running") {
    show({ state: running, found: true }, options, io);
    return;
  }
  const plan = await planStart(options, io);
  if (!options.foreground) return startPlanned(plan, options, io);
  const { superviseInForeground } = await import("./foreground.ts");
  const onReady = (state: DaemonState): void => show({ state, found: false, note: plan.note }, options, io);
  return superviseInForeground({ ...plan, env: io.env, onReady }, io);
}

export interface StartPlan {
  readonly homes: Homes;
  readonly port: number;
  readonly runner: RunnerChoice;
  /** Temporal's command line, when its dev server is to keep the runs. */
  readonly temporal?: string | undefined;
  /** For the runner alone. */
  readonly secrets: Readonly<Record<string, string>>;
  /** About the model. Said after the start: one that fails says only why. */
  readonly note: string;
}

/** Finds what can be wrong, and asks what has to be asked, before anything is started or stopped. */
export async function planStart(
  { port, engine, yes, ...options }: LocalStartOptions,
  io: CommandIo,
): Promise<StartPlan> {
  const homes = resolveHome(io.env);
  const server = readServerConfig({ ...io.env, MODE: "local" });
  if (!server.ok) throw new ConfigError(server.problems);
  const runner = runnerOf(options, io.cwd);
  await checkRunner(runner, io);
  const temporal = await chooseTemporal({ engine, runner, yes, configured: server.config.engine.type }, homes, io);
  return { homes, port: port ?? server.config.port, runner, temporal, ...(await findModelKey(io)) };
}

/** Ctrl-C while the daemon is starting stops it. */
export async function startPlanned(plan: StartPlan, options: LocalStartOptions, io: CommandIo): Promise<void> {
  const stop = new AbortController();
  const stopListening = io.onSignal(() => stop.abort());
  try {
    const daemon = await withDaemonProgress({ homes: plan.homes, verb: "Starting" }, io, () =>
      startDetached({ ...plan, env: io.env, signal: stop.signal }),
    );
    show({ ...daemon, note: plan.note }, options, io);
  } catch (error) {
    if (stop.signal.aborted) throw new CliError("interrupted", "Nothing was started.", { cause: error });
    throw error;
  } finally {
    stopListening();
  }
}

function show(
  { state, found, note }: StartedDaemon & { readonly note?: string },
  { json, port }: LocalStartOptions,
  io: CommandIo,
): void {
  if (json) {
    writeLine(io.stdout, JSON.stringify(toStatusJson(state)));
  } else {
    writeLine(
      io.stdout,
      found ? "A daemon runs already." : "Daemon started successfully\nAgent-runner started successfully",
    );
    io.stdout.write(showDaemon(state, io));
  }
  if (!found && note) writeLine(io.stderr, note);
  if (found && port && !state.endpoint.endsWith(`:${port}`)) {
    writeLine(io.stderr, `It does not listen on port ${port}: for that, \`stigmer local restart --port ${port}\`.`);
  }
}
