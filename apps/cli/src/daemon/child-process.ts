import { spawn } from "node:child_process";
import { closeSync } from "node:fs";
import { z } from "zod";
import { lastWords } from "./last-words.ts";
import { openLogFile } from "./log-file.ts";
import { withoutCore } from "./no-dumps.ts";

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
  /** 0 when it could not be started. */
  readonly pid: number;
  kill(signal: "SIGTERM" | "SIGKILL"): void;
}

export interface ChildEvents {
  onMessage(message: ChildMessage): void;
  /** Called once, when the process is gone or could not be started. `reason` is for people. */
  onExit(reason: string): void;
}

const SECRETS_FD = 3;

/**
 * Starts a child in a process group of its own: Ctrl-C in a terminal is the daemon's to handle, which then stops its
 * children in order. A daemon that is killed needs no handling: its children notice that their channel to it closed.
 */
export function startChild(command: ChildCommand, events: ChildEvents): Child {
  const log = openLogFile(command.logFile);
  try {
    const child = spawn(...withoutCore(command.command, command.args), {
      detached: true,
      // The runner reads the `.env` of where it is: that must not be a stranger's folder that `stigmer` was called in.
      cwd: "/",
      env: { ...command.env, STIGMER_SECRETS_FD: String(SECRETS_FD) },
      stdio: ["ignore", log.fd, log.fd, "pipe", "ipc"],
    });
    child.on("error", (error) => {
      // With a process it is a message or a signal that failed: the process's end tells the rest.
      if (child.pid === undefined) events.onExit(`could not be started: ${error.message}`);
    });
    child.once("exit", (code, signal) => {
      if (signal !== null) return events.onExit(`was ended by ${signal}`);
      const words = code === 0 ? "" : lastWords(command.logFile, log.size);
      events.onExit(`ended with exit code ${code}${words && `: ${words}`}`);
    });
    child.on("message", (message) => {
      const parsed = childMessage.safeParse(message);
      if (parsed.success) events.onMessage(parsed.data);
    });
    const secrets = child.stdio[SECRETS_FD] as NodeJS.WritableStream | undefined;
    // A child that ends before it reads them says so by ending.
    secrets?.on("error", () => {});
    secrets?.end(JSON.stringify(command.secrets));
    return {
      pid: child.pid ?? 0,
      kill: (signal) => void child.kill(signal),
    };
  } finally {
    closeSync(log.fd);
  }
}
