// A process that another thread started, as this one sees it: by what is said to and fro.
import { Readable, Writable } from "node:stream";
import type { OutputName, ThreadAnswer, ThreadRequest } from "./spawn-thread-script.ts";
import type { ProcessEnd, StartedProcess, StartOptions } from "./start-process.ts";

type Untagged<T> = T extends unknown ? Omit<T, "id"> : never;
type Say = (request: Untagged<ThreadRequest>) => void;

export interface ThreadProcess {
  /** Resolves when it runs, rejects with why it could not be started. */
  readonly started: Promise<StartedProcess>;
  hear(answer: ThreadAnswer): void;
  /** The thread is no more. */
  lose(error: Error): void;
}

export interface ThreadProcessOptions {
  readonly start: StartOptions;
  readonly say: Say;
  /** Nothing has to be waited for any more: called once. */
  readonly onFree: () => void;
  /** Nothing more can come: called once, not before the other. */
  readonly onGone: () => void;
}

export function createThreadProcess({ start, say, onFree, onGone }: ThreadProcessOptions): ThreadProcess {
  const started = Promise.withResolvers<StartedProcess>();
  const ended = Promise.withResolvers<ProcessEnd | Error>();
  const reaped = new Int32Array(new SharedArrayBuffer(4));
  let isExited = false;
  let isFree = false;
  let isGone = false;
  const look = (): void => {
    const streams = [output.stdout, output.stderr];
    if (!isFree && isExited && streams.every((stream) => stream.isClosedBelow || stream.isUnref)) {
      isFree = true;
      onFree();
    }
    if (!isGone && isFree && streams.every((stream) => stream.isClosedBelow)) {
      isGone = true;
      onGone();
    }
  };
  const output = { stdout: new ThreadOutput("stdout", say, look), stderr: new ThreadOutput("stderr", say, look) };
  const stdin = start.takesInput ? createInput(say) : undefined;
  const over = (error: Error): void => {
    isExited = true;
    stdin?.stream.destroy();
    for (const stream of Object.values(output)) stream.endBelow();
    // Whichever of the two is still waited for.
    started.reject(error);
    ended.resolve(error);
    look();
  };

  say({ do: "start", ...start, reaped });
  return {
    started: started.promise,
    hear(answer) {
      if (answer.told === "started") {
        started.resolve({
          ...output,
          pid: answer.pid,
          startTime: answer.startTime,
          stdin: stdin?.stream ?? null,
          ended: ended.promise,
          isReaped: () => Atomics.load(reaped, 0) === 1,
        });
      } else if (answer.told === "output") output[answer.stream].hear(answer.bytes);
      else if (answer.told === "written") stdin?.written(answer.error);
      else if (answer.told === "closed") {
        if (answer.stream === "stdin") stdin?.stream.destroy();
        else output[answer.stream].endBelow();
      } else if (answer.told === "exit") {
        isExited = true;
        ended.resolve([answer.code, answer.signal]);
        look();
      } else over(answer.error);
    },
    lose: over,
  };
}

class ThreadOutput extends Readable {
  isClosedBelow = false;
  isUnref = false;
  readonly #name: OutputName;
  readonly #say: Say;
  readonly #look: () => void;
  #untold = 0;

  constructor(name: OutputName, say: Say, look: () => void) {
    super();
    this.#name = name;
    this.#say = say;
    this.#look = look;
  }

  hear(bytes: Uint8Array<ArrayBuffer>): void {
    this.#untold += bytes.length;
    if (this.push(Buffer.from(bytes.buffer))) this.#tellTaken();
  }

  /** The pipe is closed: what has come is still read. */
  endBelow(): void {
    if (this.isClosedBelow) return;
    this.isClosedBelow = true;
    this.push(null);
    this.#look();
  }

  unref(): void {
    this.isUnref = true;
    this.#look();
  }

  override _read(): void {
    this.#tellTaken();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    if (!this.isClosedBelow) this.#say({ do: "close", stream: this.#name });
    done(error);
  }

  #tellTaken(): void {
    // Not for every few bytes: most commands print less than may be on its way.
    if (this.#untold < reportBytes) return;
    this.#say({ do: "taken", stream: this.#name, bytes: this.#untold });
    this.#untold = 0;
  }
}

const reportBytes = 64 * 1024;

function createInput(say: Say): { readonly stream: Writable; written(error: Error | undefined): void } {
  let done: ((error?: Error | null) => void) | undefined;
  const written = (error?: Error): void => {
    const tell = done;
    done = undefined;
    tell?.(error);
  };
  const stream = new Writable({
    write(chunk: Buffer, _encoding, callback) {
      done = callback;
      say({ do: "write", bytes: chunk });
    },
    final(callback) {
      say({ do: "end" });
      callback();
    },
    destroy(error, callback) {
      written(error ?? new Error("The process takes no more input."));
      say({ do: "close", stream: "stdin" });
      callback(error);
    },
  });
  return { stream, written };
}
