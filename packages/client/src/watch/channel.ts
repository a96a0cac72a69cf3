/** Brings what several tasks tell into one loop. Nothing is gathered: who sends waits until it is taken. */
export interface Channel<T> {
  /** Resolves when the item was taken, or nobody will take it any more. */
  send(item: T): Promise<void>;
  /** No more comes; with an error the loop throws it. Only the first call counts. */
  close(error?: unknown): void;
  /** What is read once. */
  items(): AsyncGenerator<T, void, undefined>;
}

export function createChannel<T>(): Channel<T> {
  const waiting: { readonly item: T; readonly taken: () => void }[] = [];
  let end: { readonly error?: unknown } | undefined;
  let wake: () => void = () => {};

  function close(error?: unknown): void {
    end ??= error === undefined ? {} : { error };
    wake();
  }

  return {
    send(item) {
      if (end) return Promise.resolve();
      const { promise, resolve } = Promise.withResolvers<void>();
      waiting.push({ item, taken: resolve });
      wake();
      return promise;
    },
    close,
    async *items() {
      try {
        for (;;) {
          const next = waiting.shift();
          if (next) {
            yield next.item;
            next.taken();
          } else if (end) {
            if ("error" in end) throw end.error;
            return;
          } else {
            await new Promise<void>((resolve) => (wake = resolve));
          }
        }
      } finally {
        close();
        for (const { taken } of waiting.splice(0)) taken();
      }
    },
  };
}
