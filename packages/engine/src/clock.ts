/** Time as the engine sees it; a test hands in its own. */
export interface Clock {
  /** Milliseconds since the epoch. */
  now(): number;
  /** Calls back once after `ms`; the function returned calls it off. */
  after(ms: number, callback: () => void): () => void;
}

/** The machine's clock. Its timers keep the process alive: whoever starts something closes it. */
export const systemClock: Clock = {
  now: () => Date.now(),
  after: (ms, callback) => {
    const timer = setTimeout(callback, ms);
    return () => clearTimeout(timer);
  },
};

/** Waits for `ms`, or until `signal` aborts, whichever is first. Never rejects. */
export function sleep(clock: Clock, ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve();
    const finish = (): void => {
      callOff();
      signal?.removeEventListener("abort", finish);
      resolve();
    };
    const callOff = clock.after(ms, finish);
    signal?.addEventListener("abort", finish, { once: true });
  });
}
