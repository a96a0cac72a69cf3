/** Events on their way to one reader. What is pushed after the close is dropped; what was pushed before is still read. */
export interface EventChannel<T> extends AsyncIterable<T> {
  push(event: T): void;
  close(): void;
}

export function createEventChannel<T>(): EventChannel<T> {
  const events: T[] = [];
  let closed = false;
  let wake: (() => void) | undefined;

  async function* read(): AsyncGenerator<T> {
    while (true) {
      const event = events.shift();
      if (event !== undefined) {
        yield event;
      } else if (closed) {
        return;
      } else {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    }
  }

  return {
    push: (event) => {
      if (!closed) events.push(event);
      wake?.();
    },
    close: () => {
      closed = true;
      wake?.();
    },
    [Symbol.asyncIterator]: read,
  };
}
