// One command: started in a process group of its own, watched until its shell exits, ended as a whole when it must.
import { constants } from "node:os";
import { setTimeout as delay } from "node:timers/promises";
import type { FailureReason, ProcessSignal } from "../sandbox.ts";
import { capture, type Capture, type OutputSink } from "./capture.ts";
import type { GuardianEntry } from "./guardian-script.ts";
import { hostGuardian } from "./guardian.ts";
import type { ChildEnd } from "./libc.ts";
import type { LockMark } from "./lock-marks.ts";
import { hasProc, readProcessTable } from "./process-table.ts";
import {
  findProcesses,
  forgetProcessTable,
  groupExists,
  killProcesses,
  signalProcess,
  type ProcessScope,
} from "./process-tree.ts";
import { shellArguments } from "./shell-arguments.ts";
import type { StartedProcess, StartProcess } from "./start-process.ts";

/** After SIGKILL the shell's own exit is only a matter of being told. */
const exitNoticeMs = 100;

export type StopReason = Extract<FailureReason, "timeout" | "aborted" | "killed" | "sandbox-gone">;

export interface CommandRequest {
  readonly command: string;
  /** Written to the command, then closed; `"open"` leaves that to `input`. Default: nothing to read. */
  readonly stdin?: string | Uint8Array | { readonly open: true };
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
  /** What it throws ends the command, and `exit` rejects with it. */
  readonly sink: OutputSink;
}

/** How a driver starts a shell: on this machine, or by way of something that puts it into a sandbox. */
export interface CommandContext {
  readonly startProcess: StartProcess;
  readonly file: string;
  /** What comes before the shell's own arguments. */
  readonly args: readonly string[];
  /** Whether the shell is a child of what is started, not what is started itself. */
  readonly hasParent: boolean;
  /** Shell code to run before the command, on its first line. */
  readonly before: string;
  /** Absolute, on this machine. */
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
  /** The environment entry in `env` by which descendants are recognised. */
  readonly mark: string;
  readonly locks: LockMark | undefined;
  /** As in `ProcessScope`. */
  isStray?(pid: number): boolean;
  /** The same, once the first command of the sandbox has been started. */
  since(): number | undefined;
  /** Whether the guardian is to end it when this process dies. Not where something else does. */
  readonly guarded: boolean;
  /** Whether the sandbox is no more, to tell that from a command that failed. */
  isGone(): boolean;
  /** A better reason for how the command ended, where the driver knows one. */
  explain?(exitCode: number, reason: FailureReason | undefined): FailureReason | undefined;
}

export interface CommandExit {
  readonly exitCode: number;
  readonly reason?: FailureReason;
}

export interface RunningCommand {
  /** When the shell has exited, or all of it was ended. Rejects only with what the sink threw. */
  readonly exit: Promise<CommandExit>;
  /**
   * Ends the whole process tree, with this reason unless the shell has exited. Resolves when it is gone. Who ends many
   * commands at once kills them together, and says when that is done.
   */
  stop(reason: StopReason, killed?: Promise<void>): Promise<void>;
  /** The process group, as long as the shell runs. */
  readonly leader: number | undefined;
  /** Background children that outlived the shell, by pid with their start time. */
  readonly survivors: ReadonlyMap<number, number>;
  /** Sends a signal to the process group, if its shell still runs. */
  signal(name: ProcessSignal): void;
  /** Where input goes, when it was left open and the command still takes it. */
  readonly input: NodeJS.WritableStream | undefined;
  /** Whether the shell, or a background child that outlived it, still runs. */
  isRunning(): boolean;
  /** Whether background children outlived the shell, or may still print. For sure once `exit` has settled. */
  isLeftBehind(): boolean;
  /** Once `exit` has settled: who takes what background children print. Default: who took it before. */
  handOver(sink: OutputSink): void;
  /** Lets go of the survivors: of the pipes that they may hold, and of what the guardian holds of them. */
  release(): void;
}

export function runCommand(request: CommandRequest, context: CommandContext): RunningCommand {
  const stopping = Promise.withResolvers<StopReason>();
  let killedByOthers: Promise<void> | undefined;
  const kill = (): Promise<void> => killedByOthers ?? killProcesses(scope());
  /** Background children that outlived the shell, by pid with their start time. */
  const survivors = new Map<number, number>();
  let held: readonly GuardianEntry[] = [];
  const guard = (entries: readonly GuardianEntry[]): void => {
    if (!context.guarded) return;
    hostGuardian.update({ drop: held, hold: entries });
    held = entries;
  };
  let child: StartedProcess | undefined;
  let captured: Capture | undefined;
  /** The group, as long as its number is its own. */
  const leader = (): number | undefined => (child?.isRunning ? child.pid : undefined);

  const scope = (): ProcessScope => ({
    leaders: new Set([leader()].filter((pid) => pid !== undefined)),
    known: survivors,
    mark: context.mark,
    locks: context.locks?.range,
    isStray: context.isStray,
    since: context.since(),
  });

  const run = async (): Promise<CommandExit> => {
    const failToStart = (error: Error): CommandExit => {
      request.sink.push("stderr", Buffer.from(`The command could not be started: ${error.message}\n`));
      return { exitCode: 126, reason: context.isGone() ? "sandbox-gone" : "backend-error" };
    };
    if (request.signal?.aborted) return stopped("aborted");

    try {
      child = context.startProcess(
        context.file,
        [...context.args, ...shellArguments(request.command, beforeOf(context))],
        { cwd: context.cwd, env: context.env, stdin: request.stdin !== undefined },
      );
    } catch (error) {
      return failToStart(error as Error);
    }
    const shell = child;
    forgetProcessTable();
    if (shell.pid !== undefined) guard([`${shell.pid}`]);
    const exit = shell.exited.catch((error: Error) => error);

    const sinkFailed = Promise.withResolvers<never>();
    // Handled where it is raced below; this keeps a late failure from becoming an unhandled rejection.
    sinkFailed.promise.catch(() => {});
    const output = capture(shell, request.sink, sinkFailed.reject);
    captured = output;
    feed(shell, request.stdin);

    const timer =
      request.timeoutMs === undefined ? undefined : setTimeout(() => stopping.resolve("timeout"), request.timeoutMs);
    const abort = (): void => stopping.resolve("aborted");
    request.signal?.addEventListener("abort", abort, { once: true });
    try {
      const outcome = await Promise.race([exit, stopping.promise, sinkFailed.promise]);
      if (outcome instanceof Error) return failToStart(outcome);
      if (typeof outcome === "string") {
        await kill();
        await Promise.race([exit, delay(exitNoticeMs)]);
        await output.drain();
        output.destroy();
        return explained(stopped(outcome), context);
      }
      await output.drain();
      findSurvivors(shell, scope(), output.isOpen());
      await Promise.race([sinkFailed.promise, undefined]);
      return explained(exited(outcome), context);
    } catch (error) {
      await kill();
      output.destroy();
      throw error;
    } finally {
      clearTimeout(timer);
      request.signal?.removeEventListener("abort", abort);
      if (shell.pid !== undefined) guard(survivorEntries(shell.pid, survivors));
    }
  };

  const exit = run();
  let settled = false;
  const settle = (): void => {
    settled = true;
    captured?.unref();
  };
  const done = exit.then(settle, settle);
  const livingSurvivors = (): boolean => survivors.size > 0 && findProcesses(scope()).length > 0;

  return {
    exit,
    async stop(reason, killed) {
      killedByOthers ??= killed;
      stopping.resolve(reason);
      await done;
      await kill();
    },
    survivors,
    get leader() {
      return leader();
    },
    signal(name) {
      const group = leader();
      if (group === undefined) {
        for (const { pid } of survivors.size > 0 ? findProcesses(scope()) : []) signalProcess(pid, name);
      } else if (!context.hasParent) {
        signalProcess(-group, name);
      } else {
        // What leads into the sandbox is in the group too, and would end before the shell has taken the signal.
        const members = readProcessTable().filter((entry) => entry.group === group && entry.pid !== group);
        for (const { pid } of members) signalProcess(pid, name);
      }
    },
    get input() {
      return child?.stdin?.writable ? child.stdin : undefined;
    },
    isRunning: () => !settled || livingSurvivors(),
    isLeftBehind: () => survivors.size > 0 || captured?.isOpen() === true,
    handOver: (sink) => captured?.handOver(sink),
    release() {
      captured?.destroy();
      if (held.length > 0) guard([]);
    },
  };
}

const beforeOf = ({ before, locks }: CommandContext): string => `${locks?.shellCode ?? ""}${before}`;

function stopped(reason: StopReason): CommandExit {
  return { exitCode: reason === "timeout" ? 124 : 128 + constants.signals.SIGKILL, reason };
}

function exited(end: ChildEnd): CommandExit {
  if ("signal" in end) return { exitCode: 128 + end.signal, reason: "killed" };
  const { code } = end;
  if (code === 127) return { exitCode: code, reason: "not-found" };
  if (code === 126) return { exitCode: code, reason: "permission" };
  return { exitCode: code };
}

function explained(exit: CommandExit, context: CommandContext): CommandExit {
  const reason = context.explain?.(exit.exitCode, exit.reason) ?? exit.reason;
  return { exitCode: exit.exitCode, ...(reason && { reason }) };
}

function feed(shell: StartedProcess, stdin: CommandRequest["stdin"]): void {
  if (shell.stdin === undefined || stdin === undefined) return;
  // EPIPE: the command didn't want all of it.
  shell.stdin.on("error", () => {});
  if (typeof stdin === "string" || stdin instanceof Uint8Array) shell.stdin.end(stdin);
}

/**
 * Who outlives the shell: members of its group, and who holds its pipes. Without environment mark they couldn't be told from
 * others later. One that did without either is found when the sandbox ends.
 */
function findSurvivors(shell: StartedProcess, scope: ProcessScope, pipesHeld: boolean): void {
  if (shell.pid === undefined) return;
  // A group that has members keeps its number, so that it can't be a stranger's.
  if (groupExists(shell.pid)) findProcesses({ ...scope, leaders: new Set([shell.pid]) });
  else if (pipesHeld) findProcesses(scope);
}

/**
 * What the guardian is to know a command by once its shell is gone. The number of the group alone won't do where processes
 * can be told apart by their start: when the last survivor ends, it can become a stranger's.
 */
function survivorEntries(leader: number, survivors: ReadonlyMap<number, number>): readonly GuardianEntry[] {
  if (survivors.size === 0) return [];
  return hasProc ? [...survivors].map(([pid, startTime]) => `${pid}:${startTime}` as const) : [`${leader}`];
}
