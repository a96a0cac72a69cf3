import type { Closing } from "./closing.ts";
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
  readonly closing: Closing;
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
  const stopListening = wakeOnEnd(waker.wake, { signal, closing });
  try {
    while (!signal.aborted) {
      closing.throwIfClosed();
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

/** Wakes a reader that has come to its end. Answers how to stop. */
export function wakeOnEnd(
  wake: () => void,
  { signal, closing }: { readonly signal: AbortSignal; readonly closing: Closing },
): () => void {
  signal.addEventListener("abort", wake);
  const stop = closing.onClose(wake);
  return () => {
    signal.removeEventListener("abort", wake);
    stop();
  };
}
