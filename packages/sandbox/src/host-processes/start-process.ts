// Starts a command's process: by this thread, or where that would hold it up, by another.
import { spawn, type ChildProcessByStdio } from "node:child_process";
import type { Readable, Writable } from "node:stream";
import { createSpawnThread } from "./spawn-thread.ts";

export interface StartOptions {
  readonly file: string;
  readonly args: readonly string[];
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
  readonly takesInput: boolean;
}

export type ProcessEnd = readonly [code: number | null, signal: NodeJS.Signals | null];

export interface StartedProcess {
  /** None when it could not be started. */
  readonly pid: number | undefined;
  /** As in `ProcessEntry`, where it can't be told later for sure. */
  readonly startTime?: number | undefined;
  readonly stdin: Writable | null;
  readonly stdout: Readable;
  readonly stderr: Readable;
  /** How it ended, or why it could not be started or is not known about any more. */
  readonly ended: Promise<ProcessEnd | Error>;
  /** Whether its number can have been given to another, be it that `ended` has yet to tell. */
  isReaped(): boolean;
}

/**
 * From so much memory on a fork holds this thread up for longer than it takes to tell another (Linux). A thread costs 15 MiB
 * and some milliseconds, so that small services have none.
 */
const largeBytes = 200 * 1024 * 1024;

let mode: "by-size" | "always" | "never" = "by-size";
const thread = createSpawnThread();

/** @internal */
export function startInThread(when: typeof mode): void {
  mode = when;
}

/**
 * As if it had died.
 * @internal
 */
export function endThread(): Promise<void> {
  return thread.end();
}

/** Whether the next process is started by the other thread: then it is known a little later that it runs. */
export function startsInThread(): boolean {
  if (mode === "never" || (mode === "by-size" && !isLarge())) return false;
  return thread.isReady();
}

/** Elsewhere a start does not copy the process. */
function isLarge(): boolean {
  return process.platform === "linux" && process.memoryUsage.rss() >= largeBytes;
}

/** In a session of its own. Throws or rejects with why it could not be started, or says so by `ended`. */
export function startProcess(options: StartOptions): StartedProcess | Promise<StartedProcess> {
  return startsInThread() ? thread.start(options) : startHere(options);
}

function startHere({ file, args, cwd, env, takesInput }: StartOptions): StartedProcess {
  const child = spawn(file, args, {
    cwd,
    env,
    detached: true,
    stdio: [takesInput ? "pipe" : "ignore", "pipe", "pipe"],
  }) as ChildProcessByStdio<Writable | null, Readable, Readable>;
  const ended = Promise.withResolvers<ProcessEnd | Error>();
  let isReaped = child.pid === undefined;
  child.once("exit", (code, signal) => {
    isReaped = true;
    ended.resolve([code, signal]);
  });
  child.once("error", ended.resolve);
  const { pid, stdin, stdout, stderr } = child;
  return { pid, stdin, stdout, stderr, ended: ended.promise, isReaped: () => isReaped };
}
