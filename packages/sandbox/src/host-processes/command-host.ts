// The commands of one sandbox whose processes this machine runs, in whichever way its driver starts them.
import { randomUUID } from "node:crypto";
import { createBackgroundCommands } from "../background-commands.ts";
import { SandboxError } from "../errors.ts";
import { toExecuteRequest, toSpawnRequest, type ExecuteRequest } from "../execute-options.ts";
import type { ExecuteResult, FailureReason, Sandbox } from "../sandbox.ts";
import { createExecuteOutput, discard } from "./capture.ts";
import type { GuardianEntry } from "./guardian-script.ts";
import { hostGuardian } from "./guardian.ts";
import { createLockMarks, isBelow } from "./lock-marks.ts";
import { startTimeBefore } from "./process-table.ts";
import { killProcesses } from "./process-tree.ts";
import { runCommand, type CommandContext, type CommandRequest, type RunningCommand } from "./run-command.ts";
import { loadStartProcess } from "./start-process.ts";

export interface CommandHostOptions {
  /** The sandbox as it is named in errors. */
  readonly name: string;
  readonly shell: string;
  readonly env: Readonly<Record<string, string>>;
  /** How the shell is started in this directory, given as the caller gave it. Throws what is wrong with it. */
  launch(cwd: string): Promise<Launch>;
  readonly guarded: boolean;
  isGone(): boolean;
  /** Ends everything that runs in the sandbox, where there is a better way than to look for it. */
  killAll?(): Promise<void>;
  /** Whether a process runs in the sandbox, where that can be told without its marks. */
  isInside?(pid: number): boolean;
  /** Called as a command starts; answers what explains how it ended. */
  watch?(): (exitCode: number, reason: FailureReason | undefined) => FailureReason | undefined;
}

export type Launch = Pick<CommandContext, "file" | "args" | "hasParent" | "before" | "cwd">;

export interface CommandHost extends Pick<Sandbox, "execute" | "spawn" | "processes" | "process"> {
  /** Whether every descendant of a command is found again, whatever it did to get away. */
  readonly tracksEscapes: boolean;
  /** Throws `sandbox-gone` after `end`. */
  assertUsable(): void;
  /** Ends everything that runs. Safe to call twice. */
  end(): Promise<void>;
}

/** By this variable, which each command has with a value of its own, processes are recognised that left their parents. */
const markName = "SANDBOX_PROCESS_MARK";
const watchIntervalMs = 100;
/** Above so many commands that left something behind, those are let go of whose processes have ended. */
const mostLeftBehind = 100;

export async function createCommandHost(options: CommandHostOptions): Promise<CommandHost> {
  const [locks, startProcess] = await Promise.all([createLockMarks(options.shell), loadStartProcess()]);
  const token = randomUUID();
  /** How the marks of all commands of this sandbox begin. */
  const ownMark = `${markName}=${token}.` as const;
  const ownEntries: readonly GuardianEntry[] = locks ? [ownMark, `${locks.all.low}..${locks.all.high}`] : [ownMark];
  const commands = new Set<RunningCommand>();
  let started = 0;
  /** Not long before the first command was started, as the system tells it. */
  let since: number | undefined;
  let ended: Promise<void> | undefined;

  const assertUsable = (): void => {
    if (ended) throw new SandboxError("sandbox-gone", `The sandbox ${options.name} is disposed. Create it again.`);
  };

  const background = createBackgroundCommands(assertUsable);

  /** One of the sandbox that lowered its limit, so that it looks like no command's. */
  const isStray =
    locks &&
    options.isInside &&
    ((pid: number): boolean => isBelow(pid, locks.all) && options.isInside?.(pid) === true);

  const sweep = (): void => {
    for (const command of commands) {
      if (command.isRunning()) continue;
      command.release();
      commands.delete(command);
    }
  };

  const start = async (
    request: Omit<CommandRequest, "signal"> & Pick<ExecuteRequest, "cwd" | "env" | "signal">,
  ): Promise<RunningCommand> => {
    assertUsable();
    const launch = await options.launch(request.cwd);
    assertUsable();
    if (options.guarded) hostGuardian.update({ hold: ownEntries });
    since ??= startTimeBefore();
    const mark = `${token}.${started++}.`;
    const run = runCommand(request, {
      ...launch,
      startProcess,
      env: { ...options.env, ...request.env, [markName]: mark },
      mark: `${markName}=${mark}`,
      locks: locks?.next(),
      // By the marks of the sandbox the guardian finds them all; one by one it has to be told only without.
      guarded: options.guarded && locks === undefined,
      isGone: options.isGone,
      isStray,
      since: () => since,
      explain: options.watch?.(),
    });
    commands.add(run);
    const forget = (): void => {
      if (!run.isLeftBehind()) commands.delete(run);
      if (commands.size > mostLeftBehind) sweep();
    };
    run.exit.then(forget, forget);
    return run;
  };

  const execute = async (request: ExecuteRequest): Promise<ExecuteResult> => {
    const startedAt = new Date();
    const begun = performance.now();
    const output = createExecuteOutput(request);
    const run = await start({ ...request, sink: output });
    const exit = await run.exit;
    const { exitCode } = exit;
    if (run.isRunning()) {
      background.listLeftover(run, { command: request.command, startedAt, exitCode, watch: watchEnd(run) });
    } else run.handOver(discard);
    return { exitCode, ...output.read(), durationMs: performance.now() - begun, ...reasonOf(exit) };
  };

  const killAll = async (): Promise<void> => {
    if (options.killAll !== undefined) return options.killAll();
    if (started === 0) return;
    const leaders = new Set([...commands].flatMap(({ leader }) => (leader === undefined ? [] : [leader])));
    const known = new Map([...commands].flatMap((command) => [...command.survivors]));
    return killProcesses({ leaders, known, mark: ownMark, locks: locks?.all, since });
  };

  const end = async (): Promise<void> => {
    const killed = killAll();
    await Promise.allSettled([killed, ...[...commands].map((command) => command.stop("sandbox-gone", killed))]);
    for (const command of commands) command.release();
    if (options.guarded && started > 0) hostGuardian.update({ drop: ownEntries });
  };

  return {
    tracksEscapes: locks !== undefined,
    assertUsable,

    async execute(command, executeOptions) {
      assertUsable();
      return execute(toExecuteRequest(command, executeOptions));
    },

    async spawn(command, spawnOptions) {
      assertUsable();
      const request = toSpawnRequest(command, spawnOptions);
      return background.spawn(request, (sink) => start({ ...request, stdin: { open: true }, sink }));
    },

    processes: background.processes,
    process: background.process,

    end() {
      ended ??= end();
      return ended;
    },
  };
}

const reasonOf = ({ reason }: { readonly reason?: FailureReason }): { reason?: FailureReason } => ({
  ...(reason && { reason }),
});

/** Nobody tells when the last of what a command left behind has ended. */
const watchEnd =
  (run: RunningCommand) =>
  (finish: () => void): void => {
    const look = (): void => {
      if (run.isRunning()) return;
      clearInterval(timer);
      finish();
    };
    const timer = setInterval(look, watchIntervalMs);
    look();
  };
