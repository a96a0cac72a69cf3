// What a process prints, on its way to whoever takes it.
import { StringDecoder } from "node:string_decoder";
import { setImmediate } from "node:timers/promises";
import { BoundedOutput } from "../bounded-output.ts";
import type { ExecuteOptions, ExecuteResult, OutputPiece } from "../sandbox.ts";
import type { StartedProcess } from "./start-process.ts";

/** What is printed just before the shell exits is read for this long when a background child holds the pipe open. */
const drainMs = 75;

type StreamName = OutputPiece["stream"];

export interface OutputSink {
  /** May throw what a caller's listener throws. */
  push(stream: StreamName, bytes: Buffer): void;
  /** Nothing more comes. */
  endOutput(): void;
}

export interface Capture {
  /** Waits for the end of the output, but not for long. */
  drain(): Promise<void>;
  /** Resolves when nothing holds the pipes any more. */
  readonly ended: Promise<void>;
  /** From now on `sink` takes it. The one before has had all. */
  handOver(sink: OutputSink): void;
  /** The pipes no longer keep this process running. */
  unref(): void;
  isOpen(): boolean;
  destroy(): void;
}

/** `fail` hears what the sink throws. */
export function capture(child: StartedProcess, first: OutputSink, fail: (error: unknown) => void): Capture {
  let sink = first;
  const guarded = (use: () => void): void => {
    try {
      use();
    } catch (error) {
      fail(error);
    }
  };
  const streams = [child.stdout, child.stderr];
  const ends = (["stdout", "stderr"] as const).map((name) => {
    const stream = child[name];
    const { promise, resolve } = Promise.withResolvers<void>();
    stream.on("data", (bytes: Buffer) => guarded(() => sink.push(name, bytes)));
    // A pipe that breaks has simply nothing more to say.
    stream.on("error", () => resolve());
    stream.once("close", resolve);
    return promise;
  });
  const ended = Promise.all(ends).then(() => guarded(() => sink.endOutput()));
  return {
    ended,
    async drain() {
      const late = Promise.withResolvers<true>();
      const timer = setTimeout(late.resolve, drainMs, true);
      const isLate = await Promise.race([ended, late.promise]);
      clearTimeout(timer);
      if (isLate !== true) return;
      // On a busy event loop the timer comes before the read that is due: give that one its turn.
      await setImmediate();
      await setImmediate();
    },
    handOver(next) {
      const previous = sink;
      sink = next;
      guarded(() => previous.endOutput());
    },
    unref() {
      for (const stream of streams) stream.unref();
    },
    isOpen: () => streams.some((stream) => !stream.destroyed),
    destroy() {
      child.stdin?.destroy();
      for (const stream of streams) stream.destroy();
    },
  };
}

export interface ExecuteOutput extends OutputSink {
  read(): Pick<ExecuteResult, "stdout" | "stderr" | "truncated">;
}

/** Keeps the beginning and the end of each stream, and tells the pieces as text. */
export function createExecuteOutput(
  options: Pick<ExecuteOptions, "onStdout" | "onStderr"> & { readonly maxOutputBytes: number },
): ExecuteOutput {
  const stream = (listener: ((text: string) => void) | undefined) => {
    const decoder = new StringDecoder("utf8");
    const tell = (text: string): void => {
      if (text !== "") listener?.(text);
    };
    let over = false;
    return {
      kept: new BoundedOutput(options.maxOutputBytes),
      decode(bytes: Buffer) {
        if (listener !== undefined) tell(decoder.write(bytes));
      },
      end() {
        if (over) return;
        over = true;
        tell(decoder.end());
      },
    };
  };
  const streams = { stdout: stream(options.onStdout), stderr: stream(options.onStderr) };
  return {
    push(name, bytes) {
      streams[name].kept.write(bytes);
      streams[name].decode(bytes);
    },
    endOutput() {
      streams.stdout.end();
      streams.stderr.end();
    },
    read: () => ({
      stdout: streams.stdout.kept.text(),
      stderr: streams.stderr.kept.text(),
      truncated: streams.stdout.kept.truncated || streams.stderr.kept.truncated,
    }),
  };
}

/** For output that nobody asked for: read, so that who prints is neither blocked nor killed, and forgotten. */
export const discard: OutputSink = { push() {}, endOutput() {} };
