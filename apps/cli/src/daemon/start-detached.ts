import { spawn } from "node:child_process";
import { closeSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Homes } from "@stigmer/config";
import { z } from "zod";
import { CliError } from "../errors.ts";
import { withAbsolutePaths } from "./absolute-paths.ts";
import { secretsOf, withoutSecrets } from "./child-commands.ts";
import type { DaemonState } from "./daemon-state.ts";
import { findDaemon } from "./find-daemon.ts";
import { openLogFile } from "./log-file.ts";
import { nodeArguments, withoutCore, withoutDumpOptions } from "./no-dumps.ts";
import { runnerArguments, type RunnerChoice } from "./runner-choice.ts";
import { unwritableHome } from "./unwritable-home.ts";

export interface StartDetachedOptions {
  readonly homes: Homes;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** For the runner, besides the secrets of `env`. */
  readonly secrets: Readonly<Record<string, string>>;
  readonly port?: number;
  /** Where the runner runs. Default: a process. */
  readonly runner?: RunnerChoice;
  /** Temporal's command line, whose dev server is to keep the runs. */
  readonly temporal?: string | undefined;
  /** Gives up; a daemon that this call is starting is stopped. */
  readonly signal?: AbortSignal;
  /** The supervisor's program and first arguments. Default: this `stigmer internal supervise`. */
  readonly program?: readonly [command: string, ...args: string[]];
}

export interface StartedDaemon {
  readonly state: DaemonState;
  /** It was there already. */
  readonly found: boolean;
}

/** What the detached supervisor tells the command that started it. */
export type SupervisorMessage =
  | { readonly type: "ready" }
  | { readonly type: "already-running" }
  | { readonly type: "failed"; readonly message: string };

const supervisorMessage: z.ZodType<SupervisorMessage> = z.discriminatedUnion("type", [
  z.object({ type: z.literal("ready") }),
  z.object({ type: z.literal("already-running") }),
  z.object({ type: z.literal("failed"), message: z.string() }),
]);

// Its children have a minute each to become ready.
const READY_WITHIN_MS = 190_000;

/**
 * Starts the daemon as a process of its own, which outlives this one. When several do so at once, one wins, and all
 * get its state. The secrets go to it by its standard input.
 */
export async function startDetached(options: StartDetachedOptions): Promise<StartedDaemon> {
  const { homes, signal } = options;
  let found = true;
  for (const deadline = Date.now() + READY_WITHIN_MS; Date.now() < deadline;) {
    signal?.throwIfAborted();
    const state = await findDaemon(homes);
    if (state?.state === "running") return { state, found };
    if (state) {
      // Another command is starting it, or stopping it: then its place is free soon.
      await sleep(50, undefined, { signal });
      continue;
    }
    const message = await launch(options);
    if (message.type === "failed") throw new CliError("failed", message.message);
    found = message.type === "already-running";
  }
  throw new CliError(
    "failed",
    `The daemon in ${homes.home} is not ready after ${READY_WITHIN_MS / 1000} s: see \`stigmer local logs\`, or stop it with \`stigmer local stop\`.`,
  );
}

/** Starts a supervisor and waits for its first message, or its end. */
async function launch({
  homes,
  env,
  secrets,
  port,
  runner = { type: "process" },
  temporal,
  signal,
  program,
}: StartDetachedOptions): Promise<SupervisorMessage> {
  const log = openDaemonLog(homes);
  const [command, ...args] = program ?? [
    process.execPath,
    ...nodeArguments(),
    process.argv[1] ?? "",
    "internal",
    "supervise",
  ];
  const child = spawn(
    ...withoutCore(command, [
      ...args,
      ...(port === undefined ? [] : ["--port", String(port)]),
      ...runnerArguments(runner),
      ...(temporal === undefined ? [] : ["--temporal", temporal]),
    ]),
    {
      detached: true,
      // Not in the caller's directory: it may be on a disk that someone wants to unmount.
      cwd: "/",
      env: {
        ...withAbsolutePaths(withoutDumpOptions(withoutSecrets(env))),
        STIGMER_HOME: homes.home,
        STIGMER_DATA_DIR: homes.dataDir,
      },
      stdio: ["pipe", log, log, "ipc"],
    },
  );
  closeSync(log);
  const stop = (): void => void child.kill("SIGTERM");
  signal?.addEventListener("abort", stop, { once: true });
  try {
    return await new Promise<SupervisorMessage>((resolve) => {
      const ended = (how: string): void =>
        resolve({ type: "failed", message: `The daemon ${how}: see ${join(homes.logsDir, "daemon.log")}.` });
      child.once("error", (error) => ended(`could not be started: ${error.message}`));
      child.once("exit", (code, signal) => ended(signal ? `was ended by ${signal}` : `ended with exit code ${code}`));
      child.on("message", (value) => {
        const parsed = supervisorMessage.safeParse(value);
        if (parsed.success) resolve(parsed.data);
      });
      child.stdin?.on("error", () => {});
      child.stdin?.end(JSON.stringify(withAbsolutePaths({ ...secretsOf(env), ...secrets })));
    });
  } finally {
    signal?.removeEventListener("abort", stop);
    if (child.connected) child.disconnect();
    child.unref();
  }
}

function openDaemonLog(homes: Homes): number {
  try {
    return openLogFile(join(homes.logsDir, "daemon.log")).fd;
  } catch (error) {
    throw unwritableHome(homes, error);
  }
}
