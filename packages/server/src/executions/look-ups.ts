import type { Fanout } from "../fanout/fanout.ts";
import type { Logger } from "../logger.ts";
import type { Store } from "../store/store.ts";

export interface LookUpsOptions {
  readonly store: Pick<Store, "executions">;
  readonly fanout: Fanout;
  readonly logger: Logger;
  /** How often it is looked up what others did while nothing tells of it, in milliseconds. */
  readonly pollEveryMs: number;
  /** The same while the fan-out is live, for the notice that was lost all the same. */
  readonly checkEveryMs: number;
}

/** What somebody here follows, as the store may know more of it. */
export interface FollowedRun {
  readonly id: string;
  /** The latest revision that is known here. */
  readonly revision: number;
  /** The store has this revision; undefined when the run is gone. */
  lookUp(revision: number | undefined): void;
}

/**
 * Looks up in the store what other servers did and nobody told of: twice a second while the fan-out is away, now and then
 * while it is there. One timer and one query for all runs that are followed here, and nothing at all when no other server
 * writes to the store.
 */
export interface LookUps {
  /** Answers how to stop. */
  followRun(run: FollowedRun): () => void;
  /** `recheck` compares a list with the store. Answers how to stop. */
  followList(recheck: () => Promise<void>): () => void;
  /** How often the store was looked into. */
  readonly pollsTotal: number;
  close(): void;
}

export function createLookUps(options: LookUpsOptions): LookUps {
  const { store, fanout, logger, pollEveryMs, checkEveryMs } = options;
  const runs = new Set<FollowedRun>();
  const rechecks = new Set<() => Promise<void>>();
  let timer: NodeJS.Timeout | undefined;
  let polling = false;
  let pollAgain = false;
  let failing = false;
  let closed = false;
  let pollsTotal = 0;

  fanout.onState(() => {
    clearTimeout(timer);
    timer = undefined;
    // Both ways something may have been missed.
    void poll();
  });

  function schedule(): void {
    if (closed || polling || timer !== undefined || !fanout.shared || runs.size + rechecks.size === 0) return;
    timer = setTimeout(() => void poll(), fanout.state === "live" ? checkEveryMs : pollEveryMs);
    timer.unref();
  }

  async function poll(): Promise<void> {
    timer = undefined;
    pollAgain = polling;
    if (polling || closed) return;
    polling = true;
    try {
      if (runs.size > 0) await pollRuns();
      for (const recheck of rechecks) {
        if (closed) return;
        pollsTotal += 1;
        await recheck();
      }
      failing = false;
    } catch (error) {
      if (!failing && !closed) logger.warn({ err: error }, "the store could not be asked what other servers did");
      failing = true;
    } finally {
      polling = false;
      if (pollAgain) void poll();
      else schedule();
    }
  }

  async function pollRuns(): Promise<void> {
    pollsTotal += 1;
    const asked = [...runs];
    const revisions = await store.executions.revisions(asked.map(({ id }) => id));
    for (const run of asked) {
      const revision = revisions.get(run.id);
      if (runs.has(run) && revision !== run.revision) run.lookUp(revision);
    }
  }

  function follow<T>(all: Set<T>, one: T): () => void {
    all.add(one);
    schedule();
    return () => void all.delete(one);
  }

  return {
    followRun: (run) => follow(runs, run),
    followList: (recheck) => follow(rechecks, recheck),
    get pollsTotal() {
      return pollsTotal;
    },
    close: () => {
      closed = true;
      clearTimeout(timer);
    },
  };
}
