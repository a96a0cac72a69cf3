/**
 * Tells a runner that something was stored for a run which it may hold: a cancel, a pause, a message, a decision. It holds nothing of
 * what was stored, and may be lost: a runner asks the server from time to time anyway.
 */
export interface WakeUps {
  /** Calls `listener`, which must not throw, each time that the server should be asked about this run. Answers how to end it. */
  subscribe(executionId: string, listener: () => void): () => void;
}
