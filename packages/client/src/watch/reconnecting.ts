import { ClientError } from "../errors.ts";

export interface ReconnectOptions {
  /** Stops watching: the watch throws `cancelled`. What is watched goes on. */
  readonly signal?: AbortSignal;
  /** Called when the stream broke and is opened again after `waitMs`. */
  readonly onReconnect?: (error: ClientError, waitMs: number) => void;
  /** Milliseconds without the server after which the watch gives up and throws the last error. Default 60,000. */
  readonly giveUpAfterMs?: number;
}

/** Thrown by a stream to be opened anew at once. */
export class Reopen extends Error {
  override readonly name = "Reopen";
}

/** Thrown by a stream that opening it anew would not mend. */
export class GiveUp extends Error {
  override readonly name = "GiveUp";
  readonly error: ClientError;

  constructor(error: ClientError) {
    super(error.message);
    this.error = error;
  }
}

export interface Reconnecting<T> {
  /** What is watched, for messages. */
  readonly subject: string;
  /** Opens the stream where the one before left off. `onOpen` is to be called when the server has answered. */
  readonly open: (signal: AbortSignal, onOpen: () => void) => AsyncIterable<T>;
  /** Whether everything has been told: nothing that comes after it, nor the stream's own end, is waited for. */
  readonly isComplete: () => boolean;
  /** Called when the server knows no such method; whether `open` goes another way from here on. */
  readonly fallBack?: () => boolean;
}

const FIRST_WAIT_MS = 50;
const LONGEST_WAIT_MS = 2_000;
/** A stream that stood as long was no failure, however quiet it was. */
const STOOD_MS = 5_000;
/** How long a server may take to end a stream that has told everything, before it is ended from here. */
const END_WITHIN_MS = 5_000;

/**
 * Reads a stream to its end, over broken connections and server restarts. Waits grow from 50 ms to 2 s, each shortened by
 * chance so that the watchers of a server do not all come back at the same moment. Whoever leaves the loop ends the stream.
 */
export async function* reconnecting<T>(
  options: ReconnectOptions,
  { subject, open, isComplete, fallBack }: Reconnecting<T>,
): AsyncGenerator<T, void, undefined> {
  const { giveUpAfterMs = 60_000, onReconnect } = options;
  const left = new AbortController();
  const signal = options.signal ? AbortSignal.any([options.signal, left.signal]) : left.signal;
  let waitMs = FIRST_WAIT_MS;
  let awaySince: number | undefined;
  let endsByItself = false;
  const isBack = (): void => {
    waitMs = FIRST_WAIT_MS;
    awaySince = undefined;
  };

  try {
    for (;;) {
      let openedAt: number | undefined;
      try {
        if (signal.aborted) throw signal.reason;
        const stream = open(signal, () => (openedAt = Date.now()))[Symbol.asyncIterator]();
        try {
          for (let next = await stream.next(); !next.done; next = await stream.next()) {
            isBack();
            endsByItself = isComplete();
            if (endsByItself) void awaitEnd(stream, left);
            yield next.value;
            if (endsByItself) return;
          }
        } finally {
          if (!endsByItself) await stream.return?.();
        }
        if (isComplete()) return;
        // A stream that ended early without an error is a server that shut down politely.
        throw new ClientError("unavailable", `${subject}: the server ended the stream`);
      } catch (cause) {
        if (signal.aborted) throw new ClientError("cancelled", `${subject}: watching was stopped`, { cause });
        if (cause instanceof Reopen) continue;
        if (cause instanceof GiveUp) throw cause.error;
        const error = ClientError.from(cause, subject);
        if (error.code === "unimplemented" && fallBack?.()) continue;
        if (!mayPass(error)) throw error;
        if (openedAt !== undefined && Date.now() - openedAt > STOOD_MS) isBack();
        awaySince ??= Date.now();
        if (Date.now() - awaySince > giveUpAfterMs) throw error;
        const thisWaitMs = Math.max(error.retryAfterMs ?? 0, Math.round(waitMs * (0.5 + Math.random() / 2)));
        onReconnect?.(error, thisWaitMs);
        await sleep(thisWaitMs, signal);
        waitMs = Math.min(waitMs * 2, LONGEST_WAIT_MS);
      }
    }
  } finally {
    // Connect leaves the stream of an abandoned loop open.
    if (!endsByItself) left.abort();
  }
}

/** Its server is about to end it: cutting it off before that would cost both sides an error. Never rejects. */
async function awaitEnd(stream: AsyncIterator<unknown>, left: AbortController): Promise<void> {
  const timer = setTimeout(() => left.abort(), END_WITHIN_MS);
  try {
    let isOver: boolean | undefined;
    do isOver = (await stream.next()).done;
    while (!isOver);
  } catch {
    // What was to be told has been told.
  } finally {
    clearTimeout(timer);
  }
}

function mayPass({ code, retryable }: ClientError): boolean {
  return retryable || code === "internal" || code === "cancelled";
}

/** Resolves after so many milliseconds, or when `signal` is aborted. */
export function sleep(ms: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, ms);
  const wake = (): void => resolve();
  signal.addEventListener("abort", wake, { once: true });
  return promise.finally(() => {
    clearTimeout(timer);
    signal.removeEventListener("abort", wake);
  });
}
