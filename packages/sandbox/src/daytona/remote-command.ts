// One command in a Daytona sandbox: started, followed until all of it is gone, ended as a whole when it must.
import { constants } from "node:os";
import { noInput } from "../background-commands.ts";
import { SandboxError } from "../errors.ts";
import type { OutputSink } from "../host-processes/capture.ts";
import type { FailureReason, ProcessSignal } from "../sandbox.ts";
import type { Machine } from "./machine.ts";
import {
  fetchScript,
  inputScript,
  killScript,
  signalScript,
  startScript,
  type KillTarget,
  type StartCommand,
} from "./process-scripts.ts";

/** One request waits so long for news; proxies cut longer ones. */
const fetchSeconds = 20;
/** What one request hands over as input. */
const inputBytes = 192 * 1024;

export type StopReason = Extract<FailureReason, "timeout" | "aborted" | "killed" | "sandbox-gone">;

export interface CommandExit {
  readonly exitCode: number;
  readonly reason?: FailureReason;
}

export interface RemoteCommandOptions extends StartCommand {
  readonly machine: Machine;
  readonly mark: string;
  /** After a time-out or an abort the result comes within this, though the server is silent. */
  readonly giveUpMs: number;
  readonly timeoutMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly sink: OutputSink;
  /**
   * Bytes of each stream after which the sink wants only the last ones, as many: whatever is pushed in place of those
   * before them counts, but is not looked at. Default: it wants all.
   */
  readonly enoughStdout?: number | undefined;
  readonly enoughStderr?: number | undefined;
  /** What the first answer tells of the place where it was to run. Throws it as an error. */
  checkStart(lines: readonly string[]): void;
}

export interface RemoteCommand {
  readonly directory: string;
  /** When it was begun, or could not be. Rejects with what is wrong with its directory. */
  readonly started: Promise<void>;
  /** Rejects with what is wrong with its directory, or with what the sink threw. */
  readonly exit: Promise<CommandExit>;
  /** Resolves when all of it is gone, or nothing can be heard of it any more. */
  readonly gone: Promise<void>;
  /** Whether anything of it ran when last heard of. */
  isRunning(): boolean;
  /** Heard from elsewhere: nothing of it runs. */
  ended(): void;
  /** Ends the whole tree. `killed`: who ends many at once does that together. */
  stop(reason: StopReason, killed?: Promise<unknown>): Promise<void>;
  signalGroup(name: ProcessSignal): Promise<void>;
  write(input: Uint8Array): Promise<void>;
  closeStdin(): Promise<void>;
  /** Once `exit` has settled: who takes what background children print. */
  handOver(sink: OutputSink): void;
}

export function startCommand(options: RemoteCommandOptions): RemoteCommand {
  const { machine, directory, mark, giveUpMs } = options;
  const exit = Promise.withResolvers<CommandExit>();
  exit.promise.catch(() => {});
  const started = Promise.withResolvers<void>();
  started.promise.catch(() => {});
  const abandoned = new AbortController();
  const gone = Promise.withResolvers<void>();
  let { sink } = options;
  let exited = false;
  let alive = true;
  let stopReason: StopReason | undefined;
  let failure: { readonly error: unknown } | undefined;
  let killing: Promise<unknown> | undefined;

  const settle = (result: CommandExit): void => {
    exited = true;
    if (failure !== undefined) exit.reject(failure.error);
    else exit.resolve(stopReason === undefined ? result : stopped(stopReason));
  };
  const end = (): void => {
    alive = false;
    gone.resolve();
  };
  const kill = (): Promise<unknown> =>
    machine.run(killScript({ directories: [directory], mark } satisfies KillTarget), {
      what: "end a command",
      idempotent: true,
      seconds: 10,
    });
  const stop = async (reason: StopReason, killed?: Promise<unknown>): Promise<void> => {
    if (!exited) stopReason ??= reason;
    killing ??= killed ?? kill();
    const late = Promise.withResolvers<void>();
    const timer = setTimeout(late.resolve, giveUpMs);
    // A server that is silent, or a sandbox that is gone: the caller is not made to wait for it.
    await Promise.race([Promise.allSettled([killing, exit.promise]), late.promise]);
    clearTimeout(timer);
    settle(stopped(reason));
    alive = false;
    // Whatever it still has to say comes within a moment, or never.
    setTimeout(() => abandoned.abort(), giveUpMs).unref();
  };
  const push = (stream: "stdout" | "stderr", bytes: Buffer): void => {
    if (failure !== undefined || bytes.length === 0) return;
    try {
      sink.push(stream, bytes);
    } catch (error) {
      failure = { error };
      void stop("killed");
    }
  };

  const following = { idempotent: true, seconds: fetchSeconds, signal: abandoned.signal };
  const follow = async (): Promise<void> => {
    const next = { stdout: 0, stderr: 0 };
    const seen = { stdout: 0, stderr: 0 };
    const known = { stdout: 0, stderr: 0 };
    const take = (stream: "stdout" | "stderr", { leftOut, bytes, ahead }: Printed): void => {
      const fresh = bytes.subarray(known[stream]);
      known[stream] = Math.max(0, known[stream] - bytes.length) + ahead;
      seen[stream] += leftOut + fresh.length;
      push(stream, Buffer.alloc(leftOut));
      push(stream, fresh);
    };
    // Once its shell has exited, another takes what is printed.
    const keep = (stream: "stdout" | "stderr", enough: number | undefined): number | undefined =>
      enough !== undefined && !exited && seen[stream] >= enough ? enough : undefined;
    let received: string[] = [];
    let output = await machine.run(startScript(options), { what: "start a command", ...following });
    if (output !== undefined) options.checkStart(output.split("\n"));
    started.resolve();
    for (;;) {
      if (output !== undefined) {
        const reply = parse(output, next);
        received = reply.received;
        take("stdout", reply.stdout);
        take("stderr", reply.stderr);
        if (reply.end !== undefined) throw new SandboxError("sandbox-gone", reply.end);
        // Nothing is left to be fetched once it says so.
        if (!reply.more && reply.code !== undefined) {
          alive = reply.alive;
          settle(exitOf(reply.code));
          if (!reply.alive) return;
        }
      }
      // A failed listener wants nothing more; what is killed has nothing more.
      const place = {
        directory,
        ...next,
        received,
        exited,
        keepStdout: keep("stdout", options.enoughStdout),
        keepStderr: keep("stderr", options.enoughStderr),
      };
      output = await machine.run(fetchScript(place), { what: "follow a command", ...following });
    }
  };

  const run = async (): Promise<void> => {
    if (options.signal?.aborted) {
      stopReason = "aborted";
      settle(stopped("aborted"));
      return;
    }
    const abort = (): void => void stop("aborted");
    const timer =
      options.timeoutMs === undefined ? undefined : setTimeout(() => void stop("timeout"), options.timeoutMs);
    options.signal?.addEventListener("abort", abort, { once: true });
    const settled = (): void => {
      clearTimeout(timer);
      options.signal?.removeEventListener("abort", abort);
    };
    exit.promise.then(settled, settled);
    try {
      await follow();
    } catch (error) {
      if (SandboxError.is(error) && startFailures.has(error.code) && !exited) {
        exited = true;
        started.reject(error);
        exit.reject(error);
      } else {
        const why = failedExit(error);
        if (!exited && stopReason === undefined) {
          push("stderr", Buffer.from(`${(error as Error).message}\n`));
          // Nobody follows it any more, so it shall not go on either.
          if (why.reason === "backend-error") void kill().catch(() => {});
        }
        settle(why);
      }
    }
  };
  const runToEnd = async (): Promise<void> => {
    await run();
    started.resolve();
    end();
    try {
      sink.endOutput();
    } catch (error) {
      exit.reject(error);
    }
  };
  void runToEnd();

  let sent = 0;
  let closed = false;
  let sending: Promise<unknown> = Promise.resolve();
  const send = (bytes: Uint8Array | "end"): Promise<void> => {
    const number = sent++;
    const handOver = async (): Promise<void> => {
      await sending;
      const script = inputScript(directory, number, bytes);
      const answer = await machine.run(script, { what: "write to a command", idempotent: true, seconds: 60 });
      if (answer?.startsWith("ended") && bytes !== "end") throw noInput();
    };
    const turn = handOver();
    sending = turn.catch(() => {});
    return turn;
  };

  return {
    directory,
    started: started.promise,
    exit: exit.promise,
    gone: gone.promise,
    isRunning: () => !exited || alive,
    ended: () => (alive = false),
    stop,
    async signalGroup(name) {
      if (!exited || alive) {
        await machine.run(signalScript(directory, name), { what: "signal a command", idempotent: false, seconds: 30 });
      }
    },
    async write(input) {
      if (closed || exited || options.stdin !== "open") throw noInput();
      const pieces: Promise<void>[] = [];
      for (let at = 0; at < input.length; at += inputBytes) pieces.push(send(input.subarray(at, at + inputBytes)));
      await Promise.all(pieces);
    },
    async closeStdin() {
      if (closed || exited) return;
      closed = true;
      await send("end");
    },
    handOver(to) {
      const before = sink;
      sink = to;
      before.endOutput();
    },
  };
}

/** What the place of a command may be told to be. Everything else is what happened to the command. */
const startFailures: ReadonlySet<string> = new Set(["not-found", "not-directory", "outside-root", "invalid-argument"]);

interface Printed {
  /** Bytes before these that were not told. */
  readonly leftOut: number;
  readonly bytes: Buffer;
  /** Bytes at its end that come once more. */
  readonly ahead: number;
}

interface Reply {
  readonly stdout: Printed;
  readonly stderr: Printed;
  readonly received: string[];
  readonly code: number | undefined;
  readonly alive: boolean;
  readonly gone: boolean;
  readonly more: boolean;
  /** Why nothing more will come. */
  readonly end: string | undefined;
}

function parse(output: string, next: { stdout: number; stderr: number }): Reply {
  const nothing: Printed = { leftOut: 0, bytes: Buffer.alloc(0), ahead: 0 };
  const pieces = { stdout: nothing, stderr: nothing };
  const received: string[] = [];
  let state: readonly string[] = [];
  let end: string | undefined;
  for (const line of output.split("\n")) {
    const [kind = "", ...rest] = line.split(" ");
    if (kind === "o" || kind === "e") {
      const stream = kind === "o" ? "stdout" : "stderr";
      const until = Number(rest[0]);
      for (let at = next[stream]; at < until; at++) received.push(`${kind}.${at}`);
      next[stream] = until;
      const bytes = Buffer.from(rest[1] ?? "", "base64");
      pieces[stream] = { bytes, leftOut: Number(rest[2] ?? 0), ahead: Number(rest[3] ?? 0) };
    } else if (kind === "s") {
      state = rest;
    } else if (kind === "lost" || kind === "never") {
      end = "The command was ended: the sandbox was stopped, or another user of it ended it.";
    }
  }
  if (state.length === 0 && end === undefined) {
    throw new SandboxError("backend-error", `The sandbox's shell answered ${JSON.stringify(output.slice(0, 200))}.`);
  }
  const [code = "-", alive, gone, more] = state;
  return {
    ...pieces,
    received,
    code: code === "-" ? undefined : Number(code),
    alive: alive === "1",
    gone: gone === "1",
    more: more === "1",
    end,
  };
}

function stopped(reason: StopReason): CommandExit {
  return { exitCode: reason === "timeout" ? 124 : 128 + constants.signals.SIGKILL, reason };
}

/** Of a command that nothing can be heard of. */
export function failedExit(error: unknown): CommandExit {
  const gone = SandboxError.is(error) && error.code === "sandbox-gone";
  return { exitCode: 126, reason: gone ? "sandbox-gone" : "backend-error" };
}

/** A shell tells an end by a signal as an exit code only. */
function exitOf(code: number): CommandExit {
  if (code === 127) return { exitCode: code, reason: "not-found" };
  if (code === 126) return { exitCode: code, reason: "permission" };
  return code > 128 && code <= 128 + 64 ? { exitCode: code, reason: "killed" } : { exitCode: code };
}
