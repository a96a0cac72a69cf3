import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, mkdirSync, openSync, renameSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { z } from "zod";

/** How to start one of the daemon's children. */
export interface ChildCommand {
  readonly command: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Handed over as one JSON object on file descriptor 3: not in the arguments, not in the environment. */
  readonly secrets: Readonly<Record<string, string>>;
  /** Takes what the child prints. */
  readonly logFile: string;
}

/** What a child tells its daemon. */
export type ChildMessage =
  | { readonly type: "ready"; readonly port?: number }
  | { readonly type: "failed"; readonly message: string };

const childMessage: z.ZodType<ChildMessage> = z.discriminatedUnion("type", [
  z.object({ type: z.literal("ready"), port: z.number().optional() }),
  z.object({ type: z.literal("failed"), message: z.string() }),
]);

export interface Child {
  readonly pid: number;
  kill(signal: "SIGTERM" | "SIGKILL"): void;
}

export interface ChildEvents {
  onMessage(message: ChildMessage): void;
  /** Called once, when the process is gone or could not be started. `reason` is for people. */
  onExit(reason: string): void;
}

const SECRETS_FD = 3;
const MAX_LOG_BYTES = 10 * 1024 * 1024;

/**
 * Starts a child in a process group of its own: Ctrl-C in a terminal is the daemon's to handle, which then stops its
 * children in order. A daemon that is killed needs no handling: its children notice that their channel to it closed.
 */
export function startChild(command: ChildCommand, events: ChildEvents): Child {
  const log = openLog(command.logFile);
  const child: ChildProcess = spawn(command.command, command.args, {
    detached: true,
    env: { ...command.env, STIGMER_SECRETS_FD: String(SECRETS_FD) },
    stdio: ["ignore", log, log, "pipe", "ipc"],
  });
  closeSync(log);
  const secrets = child.stdio[SECRETS_FD] as NodeJS.WritableStream;
  // A child that ends before it reads them says so by ending.
  secrets.on("error", () => {});
  secrets.end(JSON.stringify(command.secrets));

  let ended = false;
  const end = (reason: string): void => {
    if (ended) return;
    ended = true;
    events.onExit(reason);
  };
  child.on("message", (message) => {
    const parsed = childMessage.safeParse(message);
    if (parsed.success) events.onMessage(parsed.data);
  });
  child.once("error", (error) => end(`could not be started: ${error.message}`));
  child.once("exit", (code, signal) =>
    end(signal === null ? `ended with exit code ${code}` : `was ended by ${signal}`),
  );
  return {
    pid: child.pid ?? 0,
    kill: (signal) => void child.kill(signal),
  };
}

function openLog(file: string): number {
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
  const size = statSync(file, { throwIfNoEntry: false })?.size ?? 0;
  if (size > MAX_LOG_BYTES) renameSync(file, `${file}.1`);
  return openSync(file, "a", 0o600);
}
