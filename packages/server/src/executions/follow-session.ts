import type { Fanout } from "../fanout/fanout.ts";
import type { ExecutionRecord } from "../store/execution-store.ts";
import type { PageQuery } from "../store/resource-store.ts";
import type { Store } from "../store/store.ts";
import { type FollowRunParts, wakeOnEnd } from "./follow-run.ts";
import type { LookUps } from "./look-ups.ts";
import { pagesOf } from "./pages-of.ts";
import { createSessionRuns, type SessionRuns } from "./session-runs.ts";
import { createWaker } from "./waker.ts";
import type { RunEvent } from "./watcher.ts";

/** What somebody who follows a session gets to know. */
export type SessionEvent =
  | { readonly kind: "run"; readonly record: ExecutionRecord; readonly event: RunEvent }
  | { readonly kind: "deleted"; readonly executionId: string }
  | { readonly kind: "caught-up" };

export interface FollowSessionOptions {
  readonly sessionId: string;
  /** The latest revision that the follower has of each run; runs that are not named it lacks. */
  readonly afterRevisions: Readonly<Record<string, number>>;
  readonly signal: AbortSignal;
}

export interface FollowSessionParts extends FollowRunParts {
  readonly store: Pick<Store, "executions">;
  readonly fanout: Fanout;
  readonly lookUps: LookUps;
}

/**
 * All runs of a session, also those to come. Those under way come first, oldest first, then the ended ones, newest first and
 * one by one as the follower takes them.
 */
export async function* followSession(
  parts: FollowSessionParts,
  { sessionId, afterRevisions, signal }: FollowSessionOptions,
): AsyncGenerator<SessionEvent> {
  const { store, fanout, lookUps, closing } = parts;
  const { executions } = store;
  const waker = createWaker();
  let caughtUp = false;
  const runs = createSessionRuns({ ...parts, afterRevisions, wake: waker.wake });
  const subscription = fanout.subscribe(`session:${sessionId}`, (notice) => {
    runs.hear(notice);
    waker.wake();
  });
  const stopListening = wakeOnEnd(waker.wake, { signal, closing });
  const stopLookingUp = lookUps.followList(async () => {
    if (caughtUp) await recheck(parts, sessionId, runs);
    waker.wake();
  });
  try {
    await subscription.ready;
    const underWay: ExecutionRecord[] = [];
    for await (const run of runsOf((query) => executions.list({ sessionId, live: true }, query))) {
      underWay.push(run);
    }
    for (const run of underWay.toReversed()) runs.add(run);
    const all = runsOf((query) => executions.list({ sessionId }, query));
    let listed = false;
    while (!signal.aborted) {
      closing.throwIfClosed();
      const event = await runs.next();
      if (event) yield event;
      if (!listed) {
        // One run is listed for each that is told, so that neither holds up the other.
        const { done, value } = await all.next();
        listed = done === true;
        if (value) runs.add(value);
        if (listed) runs.listed();
      } else if (!caughtUp && runs.allTold) {
        caughtUp = true;
        yield { kind: "caught-up" };
      } else if (!event && !runs.busy && !signal.aborted && !closing.closed) {
        await waker.sleep();
      }
    }
  } finally {
    stopLookingUp();
    stopListening();
    subscription.close();
    runs.close();
  }
}

async function* runsOf(
  read: (query: PageQuery) => Promise<ExecutionRecord[]>,
): AsyncGenerator<ExecutionRecord, undefined> {
  for await (const page of pagesOf(read)) yield* page;
}

/** What nobody told of: runs that came, and runs that went. */
async function recheck(
  { store: { executions } }: FollowSessionParts,
  sessionId: string,
  runs: SessionRuns,
): Promise<void> {
  for await (const page of pagesOf((query) => executions.list({ sessionId }, query))) {
    const before = runs.size;
    for (const run of page) runs.add(run);
    // Behind a page that is as it was come older ones.
    if (runs.size === before) break;
  }
  if ((await executions.count({ sessionId })) < runs.size) await runs.findGone();
}
