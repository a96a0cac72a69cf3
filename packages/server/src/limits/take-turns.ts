import type { Interceptor } from "@connectrpc/connect";
import { createOthersAtWork } from "@stigmer/engine/embedded";
import { callerOf } from "../interceptors/principal.ts";

export interface TakeTurnsOptions {
  /** Calls of an organization at a time. */
  readonly most: number;
  /** Milliseconds, of a clock that only goes forward. */
  readonly clock: () => number;
}

/** What takes longer than this, in milliseconds, is waited for no more by its organization's next call. */
const LONG_MS = 1_000;

/**
 * Works on at most `most` unary calls of an organization at a time, in the order in which they came. Connections to the database
 * are few, and whoever wants one stands in line: without this, a burst of one organization stands before the calls of all
 * others, and before the queue that hands out runs.
 *
 * An organization that has more calls here than that, while others are at work, gets them worked on one by one: else it would
 * have the larger part of a server that has no more to give. Calls of runners and streams don't count.
 */
export function takeTurns({ most, clock }: TakeTurnsOptions): Interceptor {
  const lines = new Map<string, Line>();
  const others = createOthersAtWork(clock);

  function mayBegin(org: string, { working, fresh, waiting }: Line): boolean {
    if (working >= most) return false;
    return fresh === 0 || working + waiting.size <= most || !others.besides(org);
  }

  function beginNext(org: string, line: Line): void {
    for (const begin of line.waiting) {
      // The one that begins is still among those who wait.
      if (!mayBegin(org, line)) return;
      begin();
    }
  }

  /** Resolves when it is the call's turn, with what ends it. Rejects when its caller is gone before; then it never had one. */
  async function turnIn(org: string, line: Line, signal: AbortSignal): Promise<Disposable> {
    await new Promise<void>((resolve, reject) => {
      signal.throwIfAborted();
      const leave = (): void => {
        line.waiting.delete(begin);
        signal.removeEventListener("abort", onAbort);
      };
      const begin = (): void => {
        leave();
        // Nobody waits where nobody works.
        lines.set(org, line);
        line.working += 1;
        line.fresh += 1;
        resolve();
      };
      const onAbort = (): void => {
        leave();
        reject(signal.reason as Error);
      };
      line.waiting.add(begin);
      signal.addEventListener("abort", onAbort);
      beginNext(org, line);
    });
    let isFresh = true;
    const grow = (): void => {
      if (!isFresh) return;
      isFresh = false;
      line.fresh -= 1;
    };
    const long = setTimeout(() => {
      grow();
      beginNext(org, line);
    }, LONG_MS).unref();
    return {
      [Symbol.dispose]: () => {
        clearTimeout(long);
        grow();
        line.working -= 1;
        beginNext(org, line);
        if (line.working === 0) lines.delete(org);
      },
    };
  }

  return (next) => async (request) => {
    const caller = callerOf(request.contextValues);
    if (!caller || caller.role === "runner" || request.stream) return next(request);
    const { org } = caller;
    others.saw(org);
    const line = lines.get(org) ?? { working: 0, fresh: 0, waiting: new Set() };
    using _ = await turnIn(org, line, request.signal);
    return await next(request);
  };
}

interface Line {
  working: number;
  /** Of those the ones that have not taken long yet. */
  fresh: number;
  /** Each begins its call. */
  readonly waiting: Set<() => void>;
}
