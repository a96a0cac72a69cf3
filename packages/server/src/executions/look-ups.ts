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
 * while it is there. One query for all runs that are followed here; lists, which cost more, are on a clock of their own. Nothing
 * at all when no other server writes to the store.
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

/** Lists are compared with the store so many times more seldom than runs, while the fan-out is live. */
const SELDOM = 6;

export function createLookUps(options: LookUpsOptions): LookUps {
  const { store, fanout, logger, pollEveryMs, checkEveryMs } = options;
  const runs = new Set<FollowedRun>();
  const rechecks = new Set<() => Promise<void>>();
  let failing = false;
  let closed = false;
  let pollsTotal = 0;

  async function pollRuns(): Promise<void> {
    const asked = [...runs];
    await look(async () => {
      const revisions = await store.executions.revisions(asked.map(({ id }) => id));
      for (const run of asked) {
        const revision = revisions.get(run.id);
        if (runs.has(run) && revision !== run.revision) run.lookUp(revision);
      }
    });
  }

  async function pollLists(): Promise<void> {
    for (const recheck of rechecks) await look(recheck);
  }

  /** Never fails: it is tried again. */
  async function look(work: () => Promise<void>): Promise<void> {
    pollsTotal += 1;
    try {
      await work();
      failing = false;
    } catch (error) {
      if (!failing && !closed) logger.warn({ err: error }, "the store could not be asked what other servers did");
      failing = true;
    }
  }

  const every = (factor: number) => (): number => (fanout.state === "live" ? checkEveryMs * factor : pollEveryMs);
  const clocks = [
    createClock({ work: pollRuns, everyMs: every(1), isNeeded: () => fanout.shared && runs.size > 0 }),
    createClock({ work: pollLists, everyMs: every(SELDOM), isNeeded: () => fanout.shared && rechecks.size > 0 }),
  ];
  fanout.onState(() => {
    // Both ways something may have been missed.
    for (const clock of clocks) clock.now();
  });

  function follow<T>(all: Set<T>, one: T): () => void {
    all.add(one);
    for (const clock of clocks) clock.start();
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
      for (const clock of clocks) clock.stop();
    },
  };
}

interface ClockOptions {
  /** Never fails. */
  readonly work: () => Promise<void>;
  readonly everyMs: () => number;
  readonly isNeeded: () => boolean;
}

/** Does some work again and again, as long as it is needed, each time some while after the last time was over. */
function createClock({ work, everyMs, isNeeded }: ClockOptions): { start(): void; now(): void; stop(): void } {
  let timer: NodeJS.Timeout | undefined;
  let working = false;
  let again = false;
  let stopped = false;

  function start(): void {
    if (stopped || working || timer !== undefined || !isNeeded()) return;
    timer = setTimeout(now, everyMs());
    timer.unref();
  }

  function now(): void {
    clearTimeout(timer);
    timer = undefined;
    again = working;
    if (!working && !stopped && isNeeded()) void run();
  }

  async function run(): Promise<void> {
    working = true;
    await work();
    working = false;
    if (again) now();
    else start();
  }

  const stop = (): void => {
    stopped = true;
    clearTimeout(timer);
  };
  return { start, now, stop };
}
