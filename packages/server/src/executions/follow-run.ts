import type { LiveRuns } from "./live-runs.ts";
import { missingExecution } from "./refusals.ts";
import { createWaker } from "./waker.ts";
import type { RunEvent } from "./watcher.ts";

export interface FollowOptions {
  /** `whole`: snapshots only. `deltas`: what changed, after a snapshot or after `afterRevision`. */
  readonly mode: "whole" | "deltas";
  /** The latest revision that the follower has. Default 0: none. */
  readonly afterRevision?: number;
  readonly signal: AbortSignal;
}

export interface FollowRunParts {
  readonly live: LiveRuns;
  /** Aborted, with the error that followers end with, when the server closes. */
  readonly closing: AbortSignal;
}

/** What happens to a run, to its end. */
export async function* followRun(
  { live, closing }: FollowRunParts,
  id: string,
  { mode, afterRevision = 0, signal }: FollowOptions,
): AsyncGenerator<RunEvent> {
  const waker = createWaker();
  const opened = await live.watch(id, { mode, afterRevision, wake: waker.wake });
  if (!opened) throw missingExecution(id);
  const { watcher } = opened;
  const stopListening = wakeOn(waker.wake, signal, closing);
  try {
    while (!signal.aborted) {
      closing.throwIfAborted();
      const event = watcher.take();
      if (event) yield await event;
      else if (watcher.done) return;
      else await waker.sleep();
    }
  } finally {
    stopListening();
    opened.close();
  }
}

/** Wakes a reader when one of the signals is aborted. Answers how to stop. */
export function wakeOn(wake: () => void, ...signals: readonly AbortSignal[]): () => void {
  for (const signal of signals) signal.addEventListener("abort", wake);
  return () => {
    for (const signal of signals) signal.removeEventListener("abort", wake);
  };
}
