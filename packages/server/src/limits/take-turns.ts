import type { Interceptor } from "@connectrpc/connect";
import { callerOf } from "../interceptors/principal.ts";

/**
 * Works on at most `most` unary calls of an organization at a time, in the order in which they came. Connections to the database
 * are few, and whoever wants one stands in line: without this, a burst of one organization stands before the calls of all
 * others, and before the queue that hands out runs. Calls of runners and streams don't count.
 */
export function takeTurns({ most }: { readonly most: number }): Interceptor {
  const lines = new Map<string, Line>();
  return (next) => async (request) => {
    const caller = callerOf(request.contextValues);
    if (!caller || caller.role === "runner" || request.stream) return next(request);
    const line = lines.get(caller.org) ?? { working: 0, waiting: new Set() };
    lines.set(caller.org, line);
    await turnIn(line, most, request.signal);
    try {
      return await next(request);
    } finally {
      const [first] = line.waiting;
      if (first) first();
      else if (--line.working === 0) lines.delete(caller.org);
    }
  };
}

interface Line {
  working: number;
  /** Each begins its call, in place of one that has ended. */
  readonly waiting: Set<() => void>;
}

/** Resolves when it is the call's turn. Rejects when its caller is gone before; then it never had one. */
async function turnIn(line: Line, most: number, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  if (line.working < most) {
    line.working += 1;
    return;
  }
  await new Promise<void>((resolve, reject) => {
    const leave = (): void => {
      line.waiting.delete(begin);
      signal.removeEventListener("abort", onAbort);
    };
    const begin = (): void => {
      leave();
      resolve();
    };
    const onAbort = (): void => {
      leave();
      reject(signal.reason as Error);
    };
    line.waiting.add(begin);
    signal.addEventListener("abort", onAbort);
  });
}
