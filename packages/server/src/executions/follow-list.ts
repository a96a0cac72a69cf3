import type { ExecutionRecord } from "../store/execution-store.ts";
import type { Store } from "../store/store.ts";
import type { Closing } from "./closing.ts";
import { wakeOnEnd } from "./follow-run.ts";
import type { ListChange, ListFeeds } from "./list-feeds.ts";
import { pagesOf } from "./pages-of.ts";
import { createWaker } from "./waker.ts";

/** What somebody who follows a list gets to know. */
export type ListEvent =
  /** The run is new in the list, or its phase, error or times have changed. */
  | { readonly kind: "changed"; readonly record: ExecutionRecord }
  | { readonly kind: "deleted"; readonly executionId: string }
  | { readonly kind: "caught-up" };

export interface FollowListOptions {
  /** Undefined: of all. */
  readonly org: string | undefined;
  /** Undefined: of all. */
  readonly agentId: string | undefined;
  /** How many of the newest runs to begin with, beside those under way. */
  readonly newest: number;
  readonly signal: AbortSignal;
}

export interface FollowListParts {
  readonly store: Pick<Store, "executions">;
  readonly feeds: ListFeeds;
  readonly closing: Closing;
}

/** A list of runs: the newest and those under way, then what changes. For a slow follower changes of a run become one. */
export async function* followList(
  { store, feeds, closing }: FollowListParts,
  { org, agentId, newest, signal }: FollowListOptions,
): AsyncGenerator<ListEvent> {
  const waker = createWaker();
  const pending = new Map<string, ListChange>();
  const onChange = (change: ListChange): void => {
    if (agentId !== undefined && change.agentId !== agentId) return;
    pending.set(change.executionId, change);
    waker.wake();
  };
  const feed = feeds.join({ org, newest, onChange });
  const stopListening = wakeOnEnd(waker.wake, { signal, closing });
  // The revision of what it began with: what is pending may be older.
  const begun = new Map<string, number>();

  async function* begin(live: true | undefined, limit?: number): AsyncGenerator<ListEvent> {
    const filter = { org, agentId, live };
    for await (const page of pagesOf((query) => store.executions.list(filter, query), limit)) {
      for (const record of page) {
        if (begun.has(record.id)) continue;
        begun.set(record.id, record.revision);
        feed.told(record);
        yield { kind: "changed", record };
      }
    }
  }

  try {
    await feed.ready;
    closing.throwIfClosed();
    yield* begin(undefined, newest);
    yield* begin(true);
    yield { kind: "caught-up" };
    while (!signal.aborted) {
      closing.throwIfClosed();
      const [change] = pending.values();
      if (!change) {
        begun.clear();
        await waker.sleep();
        continue;
      }
      const { executionId, revision, deleted } = change;
      pending.delete(executionId);
      if (deleted) {
        yield { kind: "deleted", executionId };
      } else if (revision > (begun.get(executionId) ?? 0)) {
        const record = await feeds.read(executionId, revision);
        if (!record) continue;
        feed.told(record);
        yield { kind: "changed", record };
      }
    }
  } finally {
    stopListening();
    feed.close();
  }
}
