// One command: an exec of the engine, watched until its shell exits, ended as a whole when it must.
import { randomBytes } from "node:crypto";
import type { Socket } from "node:net";
import { constants } from "node:os";
import { setTimeout as delay } from "node:timers/promises";
import { SandboxError } from "../errors.ts";
import type { OutputSink } from "../host-processes/capture.ts";
import { shellArguments } from "../host-processes/shell-arguments.ts";
import type { FailureReason, ProcessSignal } from "../sandbox.ts";
import { containerState } from "./container.ts";
import { demultiplex } from "./demultiplex.ts";
import { EngineFault, type Engine } from "./engine.ts";
import type { Keeper } from "./keeper.ts";
import { commandLines, readScript } from "./scripts.ts";
import { tellApart } from "./told-apart.ts";

/** What was killed has printed its last; this long the end of that is waited for. */
const lastWordsMs = 500;
const endNoticeMs = 100;
/** An exec whose command was not seen to start within this never will. */
const startMs = 10_000;

export type StopReason = Extract<FailureReason, "timeout" | "aborted" | "killed" | "sandbox-gone">;

export interface ContainerCommand {
  readonly command: string;
  /** Absolute, in the container. */
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
  /** Written to the command, then closed; `"open"` leaves that to `input`. Default: nothing to read. */
  readonly stdin?: string | Uint8Array | { readonly open: true };
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
  /** What it throws ends the command, and `exit` rejects with it. */
  readonly sink: OutputSink;
}

export interface ContainerContext {
  readonly engine: Engine;
  readonly container: string;
  /** `uid:gid` */
  readonly user: string;
  readonly shell: string;
  /** What every command starts from. No secrets: the engine tells it to whoever may ask. */
  readonly publicEnv: Readonly<Record<string, string>>;
  readonly cpuSeconds: number | undefined;
  readonly limitsMemory: boolean;
  readonly mark: string;
  /** Of the running container, which is started when it is not. */
  keeper(): Promise<Keeper>;
  /** The same, or undefined when nothing runs: then there is nothing to end either. */
  current(): Keeper | undefined;
  /** Ends everything in the container, where the keeper can't. */
  endAll(): Promise<void>;
}

export interface CommandExit {
  readonly exitCode: number;
  readonly reason?: FailureReason;
}

export interface RunningContainerCommand {
  readonly mark: string;
  /** When it takes input, or won't ever. */
  readonly begun: Promise<void>;
  /** When the shell has exited, or all of it was ended. Rejects only with what the sink threw. */
  readonly exit: Promise<CommandExit>;
  /** Ends the whole process tree, with this reason unless the shell has exited. Resolves when it is gone. */
  stop(reason: StopReason, killed?: Promise<void>): Promise<void>;
  signal(name: ProcessSignal): Promise<void>;
  readonly input: NodeJS.WritableStream | undefined;
  /** Whether the shell, or a background child that outlived it, still runs. */
  isRunning(): boolean;
  /** Whether background children outlived the shell. For sure once `exit` has settled. */
  isLeftBehind(): boolean;
  /** When nothing of it runs any more. */
  readonly ended: Promise<void>;
  handOver(sink: OutputSink): void;
}

export function runInContainer(request: ContainerCommand, context: ContainerContext): RunningContainerCommand {
  const stopping = Promise.withResolvers<StopReason>();
  const begun = Promise.withResolvers<void>();
  const started = Promise.withResolvers<void>();
  const finished = Promise.withResolvers<void>();
  const closed = Promise.withResolvers<void>();
  const sinkFailed = Promise.withResolvers<never>();
  // Handled where it is raced; this keeps a late failure from becoming an unhandled rejection.
  sinkFailed.promise.catch(() => {});

  let sink = request.sink;
  let killedByOthers: Promise<void> | undefined;
  let exec: string | undefined;
  let socket: Socket | undefined;
  let cancelled = false;
  let settled = false;
  let ended = false;
  let pid: number | undefined;
  let code: number | undefined;
  let outOfMemory = false;
  let left: boolean | undefined;

  const guarded = (use: () => void): void => {
    try {
      use();
    } catch (error) {
      sinkFailed.reject(error);
    }
  };

  const said = (text: string): void => {
    const rest = text.slice(1);
    if (text.startsWith("s")) {
      pid = Number(rest);
      started.resolve();
    } else if (text.startsWith("x")) {
      const [exitCode, kills] = rest.split(",").map(Number);
      code = exitCode;
      outOfMemory = kills !== undefined && kills > 0;
    } else {
      left = rest === "1";
    }
    if (code !== undefined && left !== undefined) finished.resolve();
  };

  const connect = (stream: Socket, word: string): void => {
    socket = stream;
    const printed = (name: "stdout" | "stderr") =>
      tellApart(word, { said, printed: (bytes) => guarded(() => sink.push(name, bytes)) });
    const streams = { stdout: printed("stdout"), stderr: printed("stderr") };
    stream.on(
      "data",
      demultiplex((name, bytes) => streams[name].push(bytes)),
    );
    const close = (): void => {
      if (ended) return;
      ended = true;
      streams.stdout.end();
      streams.stderr.end();
      guarded(() => sink.endOutput());
      stream.destroy();
      closed.resolve();
    };
    stream.on("end", close);
    stream.on("close", close);
  };

  const createExec = async (word: string): Promise<string> => {
    const { letter } = await context.keeper();
    const created = await context.engine.call("POST", `/containers/${context.container}/exec`, {
      body: {
        AttachStdin: true,
        AttachStdout: true,
        AttachStderr: true,
        User: context.user,
        WorkingDir: request.cwd,
        Env: Object.entries(context.publicEnv).map(([name, value]) => `${name}=${value}`),
        Cmd: [
          "/bin/sh",
          "-c",
          readScript,
          "sandbox",
          word,
          letter,
          context.mark,
          String(context.cpuSeconds ?? ""),
          context.limitsMemory ? "1" : "",
          "\n",
          context.shell,
          ...shellArguments(request.command),
        ],
      },
    });
    return (created as { Id: string }).Id;
  };

  const begin = async (): Promise<void> => {
    const word = `\u001e${randomBytes(12).toString("hex")}`;
    exec = await createExec(word).catch(async (error: unknown) => {
      if (!(error instanceof EngineFault && error.status === 409)) throw error;
      // It has just ended, which was not known here: then it is started again.
      await delay(endNoticeMs, undefined, { ref: false });
      return createExec(word);
    });
    if (cancelled) return;
    const stream = await context.engine.open(`/exec/${exec}/start`, { Detach: false, Tty: false });
    if (cancelled) {
      // Without its environment it starts nothing.
      stream.destroy();
      return;
    }
    connect(stream, word);
    stream.write(commandLines(request.env));
    if (request.stdin === undefined) stream.end();
    else if (typeof request.stdin === "string" || request.stdin instanceof Uint8Array) stream.end(request.stdin);
    begun.resolve();
    await Promise.race([finished.promise, closed.promise]);
  };

  /** Whatever it is that goes on in the container, it is over afterwards. */
  const kill = async (): Promise<void> => {
    if (killedByOthers !== undefined) return killedByOthers;
    cancelled = true;
    if (socket === undefined || ended) return;
    // Until it carries its mark it can't be found.
    await Promise.race([started.promise, closed.promise, delay(startMs, undefined, { ref: false })]);
    try {
      await context.current()?.kill(context.mark);
    } catch {
      await context.endAll();
    }
  };

  const state = (): Promise<"running" | "stopped" | "gone"> => containerState(context.engine, context.container);

  const exitCodeOfExec = async (): Promise<number> => {
    const { ExitCode } = (await context.engine.call("GET", `/exec/${exec}/json`)) as { ExitCode: number | null };
    return ExitCode ?? 0;
  };

  /** What became of a command whose script came to no end. */
  const explainEnd = async (): Promise<CommandExit> => {
    // When all of the container ends, its main process may be told to have ended a little later.
    await delay(endNoticeMs, undefined, { ref: false });
    const found = await state();
    if (found === "gone") return stopped("sandbox-gone");
    const exitCode = await exitCodeOfExec();
    if (pid === undefined && found === "running" && exitCode <= 128) {
      return couldNotStart(`its shell ended with ${exitCode}. The limit of processes may be reached.`);
    }
    await context.current()?.kill(context.mark);
    return stopped("killed");
  };

  /** Not when the engine says nothing. */
  const isGone = async (): Promise<boolean> => {
    try {
      return (await state()) === "gone";
    } catch {
      return false;
    }
  };

  const couldNotStart = (why: string, reason: FailureReason = "backend-error"): CommandExit => {
    guarded(() => sink.push("stderr", Buffer.from(`The command could not be started: ${why}\n`)));
    return { exitCode: 126, reason };
  };

  const failToStart = async (error: unknown): Promise<CommandExit> => {
    if (!(error instanceof Error)) throw error;
    const gone = SandboxError.is(error) ? error.code === "sandbox-gone" : await isGone();
    return couldNotStart(error.message, gone ? "sandbox-gone" : "backend-error");
  };

  const run = async (): Promise<CommandExit> => {
    if (request.signal?.aborted) return stopped("aborted");
    const timer =
      request.timeoutMs === undefined ? undefined : setTimeout(() => stopping.resolve("timeout"), request.timeoutMs);
    const abort = (): void => stopping.resolve("aborted");
    request.signal?.addEventListener("abort", abort, { once: true });
    try {
      const outcome = await Promise.race([
        begin().then(
          () => undefined,
          (error: unknown) => ({ error }),
        ),
        stopping.promise,
        sinkFailed.promise,
      ]);
      if (typeof outcome === "object") return await failToStart(outcome.error);
      if (outcome !== undefined) {
        await kill();
        if (socket !== undefined) {
          await Promise.race([finished.promise, closed.promise, delay(lastWordsMs, undefined, { ref: false })]);
        }
        left = false;
        socket?.destroy();
        return stopped(outcome);
      }
      // Nothing more is told once this has been.
      await Promise.race([sinkFailed.promise, Promise.resolve()]);
      if (code === undefined || left === undefined) return await explainEnd().catch(failToStart);
      return exited(code, outOfMemory);
    } catch (error) {
      await kill();
      left = false;
      socket?.destroy();
      throw error;
    } finally {
      clearTimeout(timer);
      request.signal?.removeEventListener("abort", abort);
      settled = true;
      begun.resolve();
      socket?.unref();
    }
  };

  const exit = run();
  const done = Promise.allSettled([exit]);
  const isLeftBehind = (): boolean => left === true && !ended;

  return {
    mark: context.mark,
    begun: begun.promise,
    exit,
    ended: done.then(() => (isLeftBehind() ? closed.promise : undefined)),
    async stop(reason, killed) {
      killedByOthers ??= killed;
      stopping.resolve(reason);
      await done;
      if (!isLeftBehind()) return;
      await kill();
      socket?.destroy();
      await closed.promise;
    },
    async signal(name) {
      if (isLeftBehind()) await context.current()?.tell(context.mark, name);
      else if (!settled && pid !== undefined) await context.current()?.tellGroup(pid, name);
    },
    get input() {
      return !settled && socket?.writable ? socket : undefined;
    },
    isRunning: () => !settled || isLeftBehind(),
    isLeftBehind,
    handOver(next) {
      const previous = sink;
      sink = next;
      guarded(() => previous.endOutput());
      // It may have come to its end while nobody looked.
      if (ended) guarded(() => next.endOutput());
    },
  };
}

function stopped(reason: StopReason): CommandExit {
  return { exitCode: reason === "timeout" ? 124 : 128 + constants.signals.SIGKILL, reason };
}

/** The shell that waits for a command can't tell one that a signal ended from one that exits with that number. */
function exited(exitCode: number, outOfMemory: boolean): CommandExit {
  if (exitCode === 127) return { exitCode, reason: "not-found" };
  if (exitCode === 126) return { exitCode, reason: "permission" };
  if (exitCode <= 128 || exitCode > 128 + constants.signals.SIGSYS) return { exitCode };
  return { exitCode, reason: outOfMemory && exitCode === 128 + constants.signals.SIGKILL ? "out-of-memory" : "killed" };
}
