import { spawn } from "node:child_process";
import { closeSync, mkdirSync, openSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Homes } from "@stigmer/config";
import { z } from "zod";
import { CliError } from "../errors.ts";
import { secretsOf, withoutSecrets } from "./child-commands.ts";
import type { DaemonState } from "./daemon-state.ts";
import { findDaemon } from "./find-daemon.ts";

export interface StartDetachedOptions {
  readonly homes: Homes;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** For the runner, besides the secrets of `env`. */
  readonly secrets: Readonly<Record<string, string>>;
  readonly port?: number;
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

const READY_WITHIN_MS = 30_000;

/**
 * Starts the daemon as a process of its own, which outlives this one. When several do so at once, one wins, and all
 * get its state. The secrets go to it by its standard input.
 */
export async function startDetached(options: StartDetachedOptions): Promise<StartedDaemon> {
  const { homes, env } = options;
  const running = findDaemon(homes);
  if (running) return { state: await untilRunning(homes), found: true };

  const message = await launch(options);
  if (message.type === "failed") throw new CliError("failed", message.message);
  return { state: await untilRunning(homes), found: message.type === "already-running" };

  async function launch({ port, secrets }: StartDetachedOptions): Promise<SupervisorMessage> {
    const log = openLog(homes);
    const child = spawn(
      process.execPath,
      [
        ...process.execArgv,
        process.argv[1] ?? "",
        "internal",
        "supervise",
        ...(port === undefined ? [] : ["--port", String(port)]),
      ],
      // Not in the caller's directory: it may be a mounted disk, or go away.
      { detached: true, cwd: "/", env: withoutSecrets(env), stdio: ["pipe", log, log, "ipc"] },
    );
    closeSync(log);
    child.stdin?.on("error", () => {});
    child.stdin?.end(JSON.stringify({ ...secretsOf(env), ...secrets }));
    try {
      return await new Promise<SupervisorMessage>((resolve) => {
        child.on("message", (value) => {
          const parsed = supervisorMessage.safeParse(value);
          if (parsed.success) resolve(parsed.data);
        });
        const ended = (how: string): void =>
          resolve({ type: "failed", message: `The daemon ${how}: see ${join(homes.logsDir, "daemon.log")}.` });
        child.once("error", (error) => ended(`could not be started: ${error.message}`));
        child.once("exit", (code, signal) => ended(signal ? `was ended by ${signal}` : `ended with exit code ${code}`));
      });
    } finally {
      if (child.connected) child.disconnect();
      child.unref();
    }
  }
}

/** A daemon that another command is starting is waited for. */
async function untilRunning(homes: Homes): Promise<DaemonState> {
  for (const deadline = Date.now() + READY_WITHIN_MS; Date.now() < deadline; await sleep(50)) {
    const state = findDaemon(homes);
    if (state?.state === "running") return state;
    if (!state)
      throw new CliError(
        "failed",
        `The daemon that was starting in ${homes.home} ended: run \`stigmer local start\` again.`,
      );
  }
  throw new CliError(
    "failed",
    `The daemon in ${homes.home} is not ready after ${READY_WITHIN_MS / 1000} s: see \`stigmer local logs\`, or stop it with \`stigmer local stop\`.`,
  );
}

function openLog(homes: Homes): number {
  try {
    mkdirSync(homes.logsDir, { recursive: true, mode: 0o700 });
    return openSync(join(homes.logsDir, "daemon.log"), "a", 0o600);
  } catch (error) {
    throw new CliError(
      "failed",
      `Cannot write to ${homes.home}: ${(error as Error).message}. Choose another directory with STIGMER_HOME.`,
      { cause: error },
    );
  }
}
