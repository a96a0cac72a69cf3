/** Lets one reader sleep until there is something for it. */
export interface Waker {
  /** Safe to call at any time; costs nothing while the reader is awake. */
  wake(): void;
  /** Resolves at the next `wake`. Whoever calls it has just looked, in the same turn, and found nothing. */
  sleep(): Promise<void>;
}

export function createWaker(): Waker {
  let resolve: (() => void) | undefined;
  return {
    wake: () => {
      resolve?.();
      resolve = undefined;
    },
    sleep: () => new Promise((asleep) => (resolve = asleep)),
  };
}
