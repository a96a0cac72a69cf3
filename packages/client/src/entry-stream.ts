import { type Client, Code, ConnectError } from "@connectrpc/connect";
import type { RunnerController, ToolCallAnswer } from "@stigmer/protos/runner/v1";
import type { BeginToolCallInput, FinishToolCallInput } from "./runner.ts";
import { createChannel } from "./watch/channel.ts";

/** One stream for all that a run writes into its ledger, opened by the first entry and again after it broke. */
export interface EntryStream {
  /**
   * Resolves with the server's answer, or with undefined when there is none to be had from a stream: then the call of the same
   * name is to be made. Rejects with the `ConnectError` that such a call would have ended with, and with the signal's reason.
   */
  send(entry: Entry, signal?: AbortSignal): Promise<Answer | undefined>;
  /** Ends the stream when what is under way has been answered, and opens no other. */
  close(): void;
}

export type Entry =
  | { readonly case: "begin"; readonly value: BeginToolCallInput }
  | { readonly case: "finish"; readonly value: FinishToolCallInput };

type Answer = Exclude<ToolCallAnswer["answer"], { case: "refused" }>;

export interface EntryStreamOptions {
  readonly controller: Pick<Client<typeof RunnerController>, "recordToolCalls">;
  /** Milliseconds since 1970. Default `Date.now`. */
  readonly clock?: () => number;
}

/** A stream that broke before it answered is not tried again for so long, in milliseconds: something between may allow none. */
const PAUSE_MS = 5_000;

/**
 * A unary call costs both sides several times what a message of an open stream does, and a run makes two for each call of a
 * tool. What a stream leaves unanswered when it breaks the caller asks for by such a call: the ledger knows a repetition.
 */
export function createEntryStream({ controller, clock = Date.now }: EntryStreamOptions): EntryStream {
  let open: OpenStream | undefined;
  let notBefore = 0;

  function onEnd(stream: OpenStream, error: unknown): void {
    if (open === stream) open = undefined;
    if (stream.hasAnswered) return;
    const isUnknown = ConnectError.from(error).code === Code.Unimplemented;
    notBefore = isUnknown ? Number.POSITIVE_INFINITY : Math.max(notBefore, clock() + PAUSE_MS);
  }

  return {
    async send(entry, signal) {
      signal?.throwIfAborted();
      if (open === undefined) {
        if (clock() < notBefore) return undefined;
        open = openStream(controller, onEnd);
      }
      const answer = await unlessAborted(open.send(entry), signal);
      if (answer?.case === "refused") throw refusalOf(answer.value);
      return answer;
    },
    close() {
      notBefore = Number.POSITIVE_INFINITY;
      open?.close();
      open = undefined;
    },
  };
}

interface OpenStream {
  readonly hasAnswered: boolean;
  /** The answer, or undefined when the stream ends before it. Never rejects. */
  send(entry: Entry): Promise<ToolCallAnswer["answer"] | undefined>;
  close(): void;
}

/** `onEnd` is called once, with what the stream ended by. */
function openStream(
  controller: EntryStreamOptions["controller"],
  onEnd: (stream: OpenStream, error: unknown) => void,
): OpenStream {
  const waiting = new Map<number, (answer: ToolCallAnswer["answer"] | undefined) => void>();
  const entries = createChannel<{ readonly number: number; readonly entry: Entry }>();
  let number = 0;
  let isOver = false;
  let hasAnswered = false;

  const stream: OpenStream = {
    get hasAnswered() {
      return hasAnswered;
    },
    send(entry) {
      if (isOver) return Promise.resolve(undefined);
      number += 1;
      const { promise, resolve } = Promise.withResolvers<ToolCallAnswer["answer"] | undefined>();
      waiting.set(number, resolve);
      void entries.send({ number, entry });
      return promise;
    },
    close: () => entries.close(),
  };
  const end = (error?: unknown): void => {
    isOver = true;
    entries.close();
    onEnd(stream, error);
    for (const resolve of waiting.values()) resolve(undefined);
  };
  const read = async (): Promise<void> => {
    for await (const { number: answered, answer } of controller.recordToolCalls(entries.items())) {
      hasAnswered = true;
      waiting.get(answered)?.(answer);
      waiting.delete(answered);
    }
  };
  read().then(() => end(), end);
  return stream;
}

function refusalOf({ code, message }: { readonly code: number; readonly message: string }): ConnectError {
  return new ConnectError(message, code in Code ? code : Code.Unknown);
}

/** The work goes on without being waited for when the signal is aborted. */
async function unlessAborted<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return work;
  const aborted = Promise.withResolvers<never>();
  const giveUp = (): void => aborted.reject(signal.reason as Error);
  signal.addEventListener("abort", giveUp, { once: true });
  try {
    return await Promise.race([work, aborted.promise]);
  } finally {
    signal.removeEventListener("abort", giveUp);
  }
}
