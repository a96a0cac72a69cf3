import { AsyncLocalStorage } from "node:async_hooks";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { type Client, Code, ConnectError } from "@connectrpc/connect";
import type { PatchStatusInputSchema } from "@stigmer/protos/agentexecution/v1";
import type { RunAnswer, RunEntrySchema, RunnerController } from "@stigmer/protos/runner/v1";
import { traceEntry } from "./interceptors/trace-calls.ts";
import { ABSENCE_MS } from "./note-absence.ts";
import type { BeginToolCallInput, FinishToolCallInput, RememberSandboxInput } from "./runner.ts";
import { createChannel } from "./watch/channel.ts";

/** One stream for all that a run tells the server, opened by the first entry and again after it broke. */
export interface EntryStream {
  /**
   * Resolves with the server's answer, or with undefined when there is none to be had from a stream: then the call that the entry
   * stands for is to be made. Rejects with the `ConnectError` that such a call would have ended with, and with the signal's reason.
   */
  send(entry: Entry, signal?: AbortSignal): Promise<Answer | undefined>;
  /** Leaves the stream to another run when all has been answered; if not, ends it when that is so. Opens no other. */
  close(): void;
}

export type Entry =
  | { readonly case: "begin"; readonly value: BeginToolCallInput }
  | { readonly case: "finish"; readonly value: FinishToolCallInput }
  | { readonly case: "remember"; readonly value: RememberSandboxInput }
  | {
      readonly case: "patch";
      readonly value: MessageInitShape<typeof PatchStatusInputSchema>;
      /** The runner whose lease is to end with it. Default: the lease stays. */
      readonly endsLeaseOf?: string;
    };

type Answer = Exclude<RunAnswer["answer"], { case: "refused" }>;

/** The streams over one connection. */
export interface EntryStreams {
  /** For one run. */
  open(): EntryStream;
}

export interface EntryStreamsOptions {
  readonly controller: Pick<Client<typeof RunnerController>, "recordRun">;
  /** Milliseconds until an entry without an answer is given up with `DEADLINE_EXCEEDED`, and its stream with it. */
  readonly timeoutMs: number;
  /** Milliseconds since 1970. Default `Date.now`. */
  readonly clock?: () => number;
}

/** A stream that broke before it answered is not tried again for so long, in milliseconds: something between may allow none. */
const PAUSE_MS = 5_000;

/** For how long a stream waits for another run, in milliseconds: what stands between cuts off such as say nothing for much longer. */
const REST_MS = 5_000;

/**
 * A unary call costs both sides several times what a message of an open stream does, and a run says something every few
 * milliseconds. What a stream leaves unanswered when it breaks the caller asks for by such a call: the server knows a repetition.
 * A stream itself costs as much as a call. It is no run's own, though it serves one at a time: the next run says what it has to say over
 * the stream of the one before.
 */
export function createEntryStreams(options: EntryStreamsOptions): EntryStreams {
  const { controller, timeoutMs, clock = () => Date.now() } = options;
  // What one run has found out is true of the others.
  let notBefore = 0;
  let rememberNotBefore = 0;
  /** Streams of runs that are over, the last one used at the end, with what ends their rest. */
  const resting = new Map<OpenStream, NodeJS.Timeout>();
  /** What a run has around it (its span, for one) is not to live as long as a stream that it was the first to use. */
  const inNobodysName = AsyncLocalStorage.snapshot();

  function onEnd(stream: OpenStream, error: unknown): void {
    wake(stream);
    const { code } = ConnectError.from(error);
    // A server that has the stream and not this entry finds that it says nothing, and ends the stream: of all else there is to
    // say, no stream is the worse for that.
    if (code === Code.InvalidArgument && stream.awaits("remember")) {
      rememberNotBefore = clock() + ABSENCE_MS;
      return;
    }
    if (stream.hasAnswered) return;
    const isUnknown = code === Code.Unimplemented;
    notBefore = Math.max(notBefore, clock() + (isUnknown ? ABSENCE_MS : PAUSE_MS));
  }

  function wake(stream: OpenStream): void {
    clearTimeout(resting.get(stream));
    resting.delete(stream);
  }

  function rest(stream: OpenStream): void {
    const endRest = (): void => {
      wake(stream);
      stream.close();
    };
    resting.set(stream, setTimeout(endRest, REST_MS).unref());
  }

  function take(): OpenStream | undefined {
    const rested = [...resting.keys()].at(-1);
    if (rested) wake(rested);
    else if (clock() < notBefore) return undefined;
    return rested ?? inNobodysName(openStream, controller, onEnd);
  }

  function openForRun(): EntryStream {
    let open: OpenStream | undefined;
    let isClosed = false;

    return {
      async send(entry, signal) {
        signal?.throwIfAborted();
        if (isClosed) return undefined;
        if (entry.case === "remember" && clock() < rememberNotBefore) return undefined;
        if (open === undefined || open.isOver) open = take();
        const stream = open;
        if (stream === undefined) return undefined;
        return traceEntry(entry.case, async (traceparent) => {
          const answered = stream.send(entry, traceparent);
          const answer = await inTime(answered, { signal, timeoutMs, onTimeout: () => stream.abandon() });
          if (answer?.case === "refused") {
            // So a server answers an entry that it does not know, where nothing stands before it that ends the stream.
            if (entry.case === "remember" && answer.value.code === Number(Code.InvalidArgument)) return undefined;
            throw refusalOf(answer.value);
          }
          return answer;
        });
      },
      close() {
        isClosed = true;
        if (open?.isQuiet) rest(open);
        else open?.close();
        open = undefined;
      },
    };
  }

  return { open: openForRun };
}

interface OpenStream {
  /** Nothing can be said over it any more. */
  readonly isOver: boolean;
  /** All that was said has been answered, and more may be. */
  readonly isQuiet: boolean;
  readonly hasAnswered: boolean;
  /** Whether an entry of this kind is without an answer. */
  awaits(kind: Entry["case"]): boolean;
  /** The answer, or undefined when the stream ends before it. Never rejects. */
  send(entry: Entry, traceparent: string): Promise<RunAnswer["answer"] | undefined>;
  /** Ends it when what is under way has been answered. */
  close(): void;
  /** Ends it at once. */
  abandon(): void;
}

interface Waiting {
  readonly kind: Entry["case"];
  readonly resolve: (answer: RunAnswer["answer"] | undefined) => void;
}

/** `onEnd` is called once, with what the stream ended by. */
function openStream(
  controller: EntryStreamsOptions["controller"],
  onEnd: (stream: OpenStream, error: unknown) => void,
): OpenStream {
  const waiting = new Map<number, Waiting>();
  const entries = createChannel<MessageInitShape<typeof RunEntrySchema>>();
  const abandoned = new AbortController();
  let number = 0;
  let isOver = false;
  let hasAnswered = false;

  const stream: OpenStream = {
    get isOver() {
      return isOver;
    },
    get isQuiet() {
      return !isOver && waiting.size === 0;
    },
    get hasAnswered() {
      return hasAnswered;
    },
    awaits: (kind) => waiting.values().some((each) => each.kind === kind),
    send(entry, traceparent) {
      if (isOver) return Promise.resolve(undefined);
      number += 1;
      const { promise, resolve } = Promise.withResolvers<RunAnswer["answer"] | undefined>();
      waiting.set(number, { kind: entry.case, resolve });
      const endsLeaseOf = entry.case === "patch" ? entry.endsLeaseOf : undefined;
      void entries.send({ number, entry, traceparent, endsLeaseOf });
      return promise;
    },
    close: () => entries.close(),
    abandon() {
      isOver = true;
      abandoned.abort();
    },
  };
  const end = (error?: unknown): void => {
    isOver = true;
    entries.close();
    onEnd(stream, error);
    for (const { resolve } of waiting.values()) resolve(undefined);
  };
  const read = async (): Promise<void> => {
    const answers = controller.recordRun(entries.items(), { signal: abandoned.signal });
    for await (const { number: answered, answer } of answers) {
      hasAnswered = true;
      waiting.get(answered)?.resolve(answer);
      waiting.delete(answered);
    }
  };
  read().then(() => end(), end);
  return stream;
}

function refusalOf({ code, message }: { readonly code: number; readonly message: string }): ConnectError {
  return new ConnectError(message, code in Code ? code : Code.Unknown);
}

interface Patience {
  readonly signal: AbortSignal | undefined;
  readonly timeoutMs: number;
  readonly onTimeout: () => void;
}

/** The work goes on without being waited for when the signal is aborted, or it takes too long. */
async function inTime<T>(work: Promise<T>, { signal, timeoutMs, onTimeout }: Patience): Promise<T> {
  const { promise, resolve, reject } = Promise.withResolvers<T>();
  work.then(resolve, reject);
  const giveUp = (): void => reject(signal?.reason as Error);
  const timer = setTimeout(() => {
    reject(new ConnectError(`not answered within ${timeoutMs} ms`, Code.DeadlineExceeded));
    onTimeout();
  }, timeoutMs);
  signal?.addEventListener("abort", giveUp, { once: true });
  try {
    return await promise;
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", giveUp);
  }
}
