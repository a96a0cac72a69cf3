// One command: started in a process group of its own, watched until its shell exits, ended as a whole when it must.
import { spawn, type ChildProcess } from "node:child_process";
import { existsSync } from "node:fs";
import type { Socket } from "node:net";
import { constants } from "node:os";
import type { Readable } from "node:stream";
import { StringDecoder } from "node:string_decoder";
import { setImmediate, setTimeout as delay } from "node:timers/promises";
import { BoundedOutput } from "../bounded-output.ts";
import type { ExecuteRequest } from "../execute-options.ts";
import type { ExecuteResult, FailureReason } from "../sandbox.ts";
import type { GuardianEntry } from "./guardian-script.ts";
import { hostGuardian } from "./guardian.ts";
import { hasProc } from "./process-table.ts";
import { findProcesses, groupExists, killProcesses, type ProcessScope } from "./process-tree.ts";
import { shellArguments } from "./shell-arguments.ts";

/** What is printed just before the shell exits is read for this long when a background child holds the pipe open. */
const drainMs = 75;
/** After SIGKILL the shell's own exit is only a matter of being told. */
const exitNoticeMs = 100;

export type StopReason = Extract<FailureReason, "timeout" | "aborted" | "sandbox-gone">;

export interface CommandContext {
  readonly shell: string;
  /** Absolute. */
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
  /** The environment entry in `env` by which descendants are recognised. */
  readonly mark: string;
  /** The sandbox root, to tell a missing sandbox from a missing shell. */
  readonly root: string;
}

export interface RunningCommand {
  /** Rejects only with what `onStdout` or `onStderr` threw. */
  readonly result: Promise<ExecuteResult>;
  /** Ends the whole process tree; the result gets this reason. */
  stop(reason: StopReason): void;
  /** Background children that outlived the shell, by pid with their start time. Complete once `result` has settled. */
  readonly survivors: ReadonlyMap<number, number>;
  /** Whether a background child may still print. */
  holdsPipes(): boolean;
  /** Lets go of the survivors: of the pipes that they may hold, and of what the guardian holds of them. */
  release(): void;
}

export function runCommand(request: ExecuteRequest, context: CommandContext): RunningCommand {
  const stopping = Promise.withResolvers<StopReason>();
  const survivors = new Map<number, number>();
  let guarded: readonly GuardianEntry[] = [];
  const guard = (entries: readonly GuardianEntry[]): void => {
    hostGuardian.update({ drop: guarded, hold: entries });
    guarded = entries;
  };
  let child: ChildProcess | undefined;

  const run = async (): Promise<ExecuteResult> => {
    const started = performance.now();
    const output = {
      stdout: new BoundedOutput(request.maxOutputBytes),
      stderr: new BoundedOutput(request.maxOutputBytes),
    };
    const finish = (exitCode: number, reason?: FailureReason): ExecuteResult => ({
      exitCode,
      stdout: output.stdout.text(),
      stderr: output.stderr.text(),
      truncated: output.stdout.truncated || output.stderr.truncated,
      durationMs: performance.now() - started,
      ...(reason && { reason }),
    });
    const failToStart = (error: Error): ExecuteResult => {
      output.stderr.write(Buffer.from(`The command could not be started: ${error.message}\n`));
      return finish(126, existsSync(context.root) ? "backend-error" : "sandbox-gone");
    };
    if (request.signal?.aborted) return finish(...stopped("aborted"));

    try {
      child = spawn(context.shell, shellArguments(request.command), {
        cwd: context.cwd,
        env: { ...context.env },
        detached: true,
        stdio: [request.stdin === undefined ? "ignore" : "pipe", "pipe", "pipe"],
      });
    } catch (error) {
      return failToStart(error as Error);
    }
    const shell = child;
    if (shell.pid !== undefined) guard([`${shell.pid}`]);
    const exit = Promise.withResolvers<readonly [code: number | null, signal: NodeJS.Signals | null] | Error>();
    shell.once("exit", (code, signal) => exit.resolve([code, signal]));
    shell.once("error", (error) => exit.resolve(error));

    const callbackFailed = Promise.withResolvers<never>();
    // Handled where it is raced below; this keeps a late failure from becoming an unhandled rejection.
    callbackFailed.promise.catch(() => {});
    const stdout = capture(shell.stdout, { into: output.stdout, tell: request.onStdout, fail: callbackFailed.reject });
    const stderr = capture(shell.stderr, { into: output.stderr, tell: request.onStderr, fail: callbackFailed.reject });
    feed(shell, request.stdin);

    const timer = setTimeout(() => stopping.resolve("timeout"), request.timeoutMs);
    const abort = (): void => stopping.resolve("aborted");
    request.signal?.addEventListener("abort", abort, { once: true });
    try {
      const outcome = await Promise.race([exit.promise, stopping.promise, callbackFailed.promise]);
      if (outcome instanceof Error) return failToStart(outcome);
      if (typeof outcome === "string") {
        await killTree(shell, context.mark);
        await Promise.race([exit.promise, delay(exitNoticeMs)]);
        await drain([stdout, stderr]);
        destroyPipes(shell);
        return finish(...stopped(outcome));
      }
      await drain([stdout, stderr]);
      for (const [pid, startTime] of findSurvivors(shell, context.mark)) survivors.set(pid, startTime);
      await Promise.race([callbackFailed.promise, setImmediate()]);
      return finish(...exited(...outcome));
    } catch (error) {
      await killTree(shell, context.mark);
      destroyPipes(shell);
      throw error;
    } finally {
      clearTimeout(timer);
      request.signal?.removeEventListener("abort", abort);
      stdout.close();
      stderr.close();
      if (shell.pid !== undefined) guard(survivorEntries(shell.pid, survivors));
    }
  };

  return {
    result: run(),
    stop: stopping.resolve,
    survivors,
    holdsPipes: () => child?.stdout?.destroyed === false || child?.stderr?.destroyed === false,
    release() {
      if (child) destroyPipes(child);
      if (guarded.length > 0) guard([]);
    },
  };
}

function stopped(reason: StopReason): [exitCode: number, reason: FailureReason] {
  return [reason === "timeout" ? 124 : 128 + constants.signals.SIGKILL, reason];
}

function exited(code: number | null, signal: NodeJS.Signals | null): [exitCode: number, reason?: FailureReason] {
  if (code === null) return [128 + (signal === null ? 0 : constants.signals[signal]), "killed"];
  if (code === 127) return [code, "not-found"];
  if (code === 126) return [code, "permission"];
  return [code];
}

interface Capture {
  readonly ended: Promise<void>;
  /** Takes in no more, but goes on emptying the pipe, so that a background child that prints is neither blocked nor killed. */
  close(): void;
}

interface CaptureOptions {
  readonly into: BoundedOutput;
  readonly tell: ((text: string) => void) | undefined;
  readonly fail: (error: unknown) => void;
}

function capture(stream: Readable | null, options: CaptureOptions): Capture {
  if (stream === null) return { ended: Promise.resolve(), close: () => {} };
  const decoder = new StringDecoder("utf8");
  const tell = (text: string): void => {
    if (text === "" || options.tell === undefined) return;
    try {
      options.tell(text);
    } catch (error) {
      options.fail(error);
    }
  };
  const { promise, resolve } = Promise.withResolvers<void>();
  const onData = (chunk: Buffer): void => {
    options.into.write(chunk);
    tell(decoder.write(chunk));
  };
  stream.on("data", onData);
  // A pipe that breaks has simply nothing more to say.
  stream.on("error", () => resolve());
  stream.once("close", resolve);
  return {
    ended: promise,
    close() {
      stream.off("data", onData);
      tell(decoder.end());
      stream.resume();
      (stream as Socket).unref();
    },
  };
}

function feed(shell: ChildProcess, stdin: string | Uint8Array | undefined): void {
  if (shell.stdin === null || stdin === undefined) return;
  // EPIPE: the command didn't want all of it.
  shell.stdin.on("error", () => {});
  shell.stdin.end(stdin);
}

async function drain(streams: readonly Capture[]): Promise<void> {
  const timeout = new AbortController();
  await Promise.race([
    Promise.all(streams.map((stream) => stream.ended)),
    delay(drainMs, undefined, { signal: timeout.signal }).catch(() => {}),
  ]);
  timeout.abort();
  // On a busy event loop the timer comes before the read that is due: give that one its turn.
  await setImmediate();
  await setImmediate();
}

function scopeOf(shell: ChildProcess, mark: string): ProcessScope {
  const reaped = shell.exitCode !== null || shell.signalCode !== null;
  return { leaders: new Set(reaped || shell.pid === undefined ? [] : [shell.pid]), known: new Map(), mark };
}

async function killTree(shell: ChildProcess, mark: string): Promise<void> {
  if (shell.pid !== undefined) await killProcesses(scopeOf(shell, mark));
}

/** The members of the shell's group that outlive it: without environment mark they couldn't be told from others later. */
function findSurvivors(shell: ChildProcess, mark: string): ReadonlyMap<number, number> {
  const known = new Map<number, number>();
  // A group that has members keeps its number, so that it can't be a stranger's.
  if (shell.pid !== undefined && groupExists(shell.pid)) {
    findProcesses({ leaders: new Set([shell.pid]), known, mark });
  }
  return known;
}

/**
 * What the guardian is to know a command by once its shell is gone. The number of the group alone won't do where processes
 * can be told apart by their start: when the last survivor ends, it can become a stranger's.
 */
function survivorEntries(leader: number, survivors: ReadonlyMap<number, number>): readonly GuardianEntry[] {
  if (survivors.size === 0) return [];
  return hasProc ? [...survivors].map(([pid, startTime]) => `${pid}:${startTime}` as const) : [`${leader}`];
}

function destroyPipes(shell: ChildProcess): void {
  shell.stdin?.destroy();
  shell.stdout?.destroy();
  shell.stderr?.destroy();
}
