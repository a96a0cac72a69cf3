import { Code, ConnectError } from "@connectrpc/connect";
import type { RunNotice } from "../fanout/fanout.ts";
import type { ExecutionRecord } from "../store/execution-store.ts";
import type { Store } from "../store/store.ts";
import type { SessionEvent } from "./follow-session.ts";
import type { LiveRuns, OpenWatcher } from "./live-runs.ts";

export interface SessionRunsOptions {
  readonly store: Pick<Store, "executions">;
  readonly live: LiveRuns;
  /** The latest revision that the follower has of each run. */
  readonly afterRevisions: Readonly<Record<string, number>>;
  /** Called when there may be something to tell. */
  readonly wake: () => void;
}

/** The runs of one session on their way to one follower. It holds a name for each, and a watcher only for some of those under way. */
export interface SessionRuns {
  /** A run that the session has. */
  add(run: Pick<ExecutionRecord, "id" | "revision" | "ended">): void;
  hear(notice: RunNotice): void;
  /** All runs were added that there were: what else the follower has is gone, or was never this session's. */
  listed(): void;
  /** Finds out which of the runs were deleted. */
  findGone(): Promise<void>;
  /** One step: what there is to tell, if it came to that. */
  next(): Promise<SessionEvent | undefined>;
  /** Whether another step would do something. */
  readonly busy: boolean;
  /** Whether the follower was told of all runs that were added. */
  readonly allTold: boolean;
  /** How many runs were added and not deleted. */
  readonly size: number;
  close(): void;
}

/** How many runs are followed at once for one follower. Those beyond wait, after a snapshot, for one of these to end. */
const MAX_FOLLOWED = 64;

export function createSessionRuns(options: SessionRunsOptions): SessionRuns {
  const { live, wake } = options;
  const { executions } = options.store;
  /** The latest revision that the follower has. */
  const has = new Map(Object.entries(options.afterRevisions));
  const known = new Set<string>();
  const toOpen: string[] = [];
  const waiting: string[] = [];
  const gone = new Set<string>();
  const followed = new Map<string, OpenWatcher & { readonly record: ExecutionRecord }>();
  const ready = new Set<string>();
  const untold = new Set<string>();
  let openNext = true;

  function add({ id, revision, ended }: Pick<ExecutionRecord, "id" | "revision" | "ended">): void {
    if (known.has(id)) return;
    known.add(id);
    if (!ended || has.get(id) !== revision) toOpen.push(id);
  }

  async function open(id: string): Promise<SessionEvent | undefined> {
    const record = known.has(id) ? await executions.get(id) : undefined;
    if (!record || record.ended) admit();
    if (!record) return undefined;
    const afterRevision = has.get(id) ?? 0;
    has.delete(id);
    if (record.ended || followed.size >= MAX_FOLLOWED) {
      const status = await live.read(id);
      if (!status) return undefined;
      const { revision } = status;
      if (!record.ended) {
        has.set(id, revision);
        waiting.push(id);
      }
      return revision === afterRevision
        ? undefined
        : { kind: "run", record, event: { kind: "snapshot", revision, status } };
    }
    const onWake = (): void => {
      ready.add(id);
      wake();
    };
    const opened = await live.watch(id, { mode: "deltas", afterRevision, wake: onWake });
    if (!opened) return undefined;
    followed.set(id, { ...opened, record });
    untold.add(id);
    ready.add(id);
    return undefined;
  }

  async function take(id: string): Promise<SessionEvent | undefined> {
    ready.delete(id);
    const run = followed.get(id);
    if (!run) return undefined;
    try {
      const event = await run.watcher.take();
      untold.delete(id);
      if (event) {
        // Behind the others: there may be more.
        ready.add(id);
        return { kind: "run", record: run.record, event };
      }
    } catch (error) {
      if (!(error instanceof ConnectError) || error.code !== Code.NotFound) throw error;
      gone.add(id);
      return undefined;
    }
    if (run.watcher.done) leave(id);
    return undefined;
  }

  function leave(id: string): void {
    followed.get(id)?.close();
    followed.delete(id);
    ready.delete(id);
    untold.delete(id);
    admit();
  }

  /** The next of those that wait, when there is room. */
  function admit(): void {
    const next = followed.size < MAX_FOLLOWED ? waiting.shift() : undefined;
    if (next !== undefined) toOpen.unshift(next);
  }

  return {
    add,
    hear: ({ kind, executionId: id, revision }) => {
      if (kind === "created") add({ id, revision, ended: false });
      else if (kind === "deleted") gone.add(id);
      else if (known.has(id) && !followed.has(id)) toOpen.push(id);
    },
    listed: () => {
      for (const id of has.keys()) if (!known.has(id)) gone.add(id);
    },
    findGone: async () => {
      const asked = [...known];
      const there = await executions.revisions(asked);
      for (const id of asked) if (!there.has(id)) gone.add(id);
    },
    next: async () => {
      const [deleted] = gone;
      if (deleted !== undefined) {
        gone.delete(deleted);
        leave(deleted);
        const wasKnown = known.delete(deleted);
        return has.delete(deleted) || wasKnown ? { kind: "deleted", executionId: deleted } : undefined;
      }
      const [told] = ready;
      // In turns, so that a run with much to tell does not keep others from their beginning.
      openNext = told === undefined || (!openNext && toOpen.length > 0);
      const opened = openNext ? toOpen.shift() : undefined;
      if (opened !== undefined) return open(opened);
      return told === undefined ? undefined : take(told);
    },
    get busy() {
      return gone.size > 0 || ready.size > 0 || toOpen.length > 0;
    },
    get allTold() {
      return gone.size === 0 && toOpen.length === 0 && untold.size === 0;
    },
    get size() {
      return known.size;
    },
    close: () => {
      for (const { close } of followed.values()) close();
      followed.clear();
    },
  };
}
