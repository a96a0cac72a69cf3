// The part of a background process that is the same for every backend: what it printed in bounded memory, who follows it,
// and who waits for it. A driver feeds it and lends it its means to write and to kill.
import { StringDecoder } from "node:string_decoder";
import { BoundedOutput } from "./bounded-output.ts";
import { createFollowers } from "./output-followers.ts";
import type {
  ExecuteResult,
  FailureReason,
  OutputPiece,
  ProcessSignal,
  SandboxProcess,
  SpawnOptions,
  WaitOptions,
} from "./sandbox.ts";

export interface BackgroundProcessOptions {
  readonly id: string;
  readonly command: string;
  readonly origin: SandboxProcess["origin"];
  readonly startedAt: Date;
  readonly maxOutputBytes: number;
  readonly onStdout?: SpawnOptions["onStdout"];
  readonly onStderr?: SpawnOptions["onStderr"];
  readonly means: ProcessMeans;
}

/** What only the driver can do. */
export interface ProcessMeans {
  isRunning(): boolean;
  write(input: string | Uint8Array): Promise<void>;
  closeStdin(): Promise<void>;
  kill(signal: ProcessSignal): Promise<void>;
  /** Called when someone begins to wait, for a driver that has to look by itself whether it has ended. */
  watch?(): void;
}

export interface BackgroundProcess {
  readonly handle: SandboxProcess;
  /** What it printed. Throws what `onStdout` or `onStderr` throw. */
  push(stream: OutputPiece["stream"], bytes: Uint8Array): void;
  /** It has ended: those who wait get this result, with the output so far. Only the first end counts. */
  finish(exitCode: number, reason?: FailureReason): void;
  /** It failed by what a listener threw: those who wait get this error. */
  fail(error: unknown): void;
  /** Nothing more will be pushed: those who follow have reached the end. */
  endOutput(): void;
}

export function createBackgroundProcess(options: BackgroundProcessOptions): BackgroundProcess {
  const { means } = options;
  // The system's clock can jump.
  const begun = performance.now();
  const streams = {
    stdout: createStream(options.maxOutputBytes, options.onStdout),
    stderr: createStream(options.maxOutputBytes, options.onStderr),
  };
  const followers = createFollowers();
  const ended = Promise.withResolvers<ExecuteResult>();
  // Nobody needs to wait for it.
  ended.promise.catch(() => {});
  const tell = (stream: OutputPiece["stream"], text: string): void => {
    if (text === "") return;
    followers.push(stream, text);
    streams[stream].tell?.(text);
  };
  const output = (): Pick<ExecuteResult, "stdout" | "stderr" | "truncated"> => ({
    stdout: streams.stdout.kept.text(),
    stderr: streams.stderr.kept.text(),
    truncated: streams.stdout.kept.truncated || streams.stderr.kept.truncated,
  });

  async function wait(): Promise<ExecuteResult>;
  async function wait(waitOptions: WaitOptions): Promise<ExecuteResult | undefined>;
  async function wait({ signal, timeoutMs }: WaitOptions = {}): Promise<ExecuteResult | undefined> {
    means.watch?.();
    if (signal === undefined && timeoutMs === undefined) return ended.promise;
    const givenUp = Promise.withResolvers<undefined>();
    const giveUp = (): void => givenUp.resolve(undefined);
    const timer = timeoutMs === undefined ? undefined : setTimeout(giveUp, timeoutMs);
    signal?.addEventListener("abort", giveUp, { once: true });
    if (signal?.aborted) giveUp();
    try {
      return await Promise.race([ended.promise, givenUp.promise]);
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener("abort", giveUp);
    }
  }

  return {
    handle: {
      id: options.id,
      command: options.command,
      origin: options.origin,
      startedAt: options.startedAt,
      get running() {
        return means.isRunning();
      },
      output: async () => output(),
      follow: () => followers.follow(),
      write: (input) => means.write(input),
      closeStdin: () => means.closeStdin(),
      kill: (signal = "SIGKILL") => means.kill(signal),
      wait,
    },
    push(stream, bytes) {
      streams[stream].kept.write(bytes);
      tell(stream, streams[stream].decoder.write(bytes as Buffer));
    },
    finish(exitCode, reason) {
      const durationMs = performance.now() - begun;
      ended.resolve({ exitCode, ...output(), durationMs, ...(reason && { reason }) });
    },
    fail: ended.reject,
    endOutput() {
      try {
        for (const stream of ["stdout", "stderr"] as const) tell(stream, streams[stream].decoder.end());
      } finally {
        followers.end();
      }
    },
  };
}

interface Stream {
  readonly kept: BoundedOutput;
  readonly decoder: StringDecoder;
  readonly tell: ((text: string) => void) | undefined;
}

function createStream(maxOutputBytes: number, tell: Stream["tell"]): Stream {
  return { kept: new BoundedOutput(maxOutputBytes, "end"), decoder: new StringDecoder("utf8"), tell };
}
