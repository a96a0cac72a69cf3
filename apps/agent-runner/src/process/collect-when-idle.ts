import { collectGarbage } from "@stigmer/config/node-process";

/** Milliseconds after the last run's end: who answers a run with the next one at once shall not meet the pause. */
const AFTER_MS = 10;

/** Has V8 clear away what runs left behind when there is none that would have to wait for it. */
export interface IdleCollector {
  /** Does the work of a run. When no other is under way after it, what is young of the heap is collected. */
  during<T>(work: () => Promise<T>): Promise<T>;
}

/**
 * One run makes about as much garbage as V8 lets pile up. Left alone it collects that, for some 2 ms, at a pause of this or the next run,
 * which waits for it: while its first request to the model is to be sent, or its end to be told (`collectWhenFull`).
 *
 * @param collect Default: V8's minor collection.
 */
export function createIdleCollector(collect: () => void = collectYoung): IdleCollector {
  let underWay = 0;
  let timer: NodeJS.Timeout | undefined;
  return {
    async during(work) {
      underWay += 1;
      clearTimeout(timer);
      try {
        return await work();
      } finally {
        underWay -= 1;
        if (underWay === 0) timer = setTimeout(collect, AFTER_MS).unref();
      }
    },
  };
}

function collectYoung(): void {
  collectGarbage({ type: "minor", execution: "sync" });
}
