import { AsyncLocalStorage } from "node:async_hooks";

/** One try of one model call. What its HTTP layer learns and no client passes on is noted here. */
export interface Attempt {
  /** Aborted when nobody waits for the answer any more. */
  readonly signal: AbortSignal | undefined;
  /** How long the provider asks to wait, in milliseconds. */
  retryAfterMs?: number;
  /** The message that the answer began with. */
  messageId?: string;
  /** Why the model stopped, where the message itself does not say. */
  finishReason?: string;
  /** When the first piece of the answer came, by `performance.now()`. */
  firstPieceAt?: number;
}

const attempts = new AsyncLocalStorage<Attempt>();

export function inAttempt<T>(attempt: Attempt, call: () => T): T {
  return attempts.run(attempt, call);
}

export function currentAttempt(): Attempt | undefined {
  return attempts.getStore();
}
