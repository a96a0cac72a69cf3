import { Code, ConnectError } from "@connectrpc/connect";

/**
 * The end of all who follow something, when the server closes. A set of its own: an `AbortSignal` walks through all its
 * listeners for each that comes or goes, and there are thousands.
 */
export interface Closing {
  readonly closed: boolean;
  /** Throws the error that followers end with, once it is closed. */
  throwIfClosed(): void;
  /** Calls `wake` when it is closed. Answers how to stop. */
  onClose(wake: () => void): () => void;
  close(error: Error): void;
}

export function createClosing(): Closing {
  const wakes = new Set<() => void>();
  let reason: Error | undefined;
  return {
    get closed() {
      return reason !== undefined;
    },
    throwIfClosed: () => {
      if (reason) throw reason;
    },
    onClose: (wake) => {
      wakes.add(wake);
      return () => void wakes.delete(wake);
    },
    close: (error) => {
      reason ??= error;
      for (const wake of wakes) wake();
    },
  };
}

/** What those are told who followed something. */
export function shuttingDown(): ConnectError {
  return new ConnectError("the server is shutting down: try again", Code.Unavailable);
}
