import type { AgentExecutionStatus } from "@stigmer/protos/agentexecution/v1";
import type { ExecutionRecord } from "../store/execution-store.ts";
import { createLiveRun, type LiveRun, type LiveRunOptions, type WatchOptions } from "./live-run.ts";
import { readEnded } from "./load-run.ts";
import type { Watcher } from "./watcher.ts";

export interface LiveRunsOptions extends Omit<LiveRunOptions, "id"> {
  /** How many runs that nobody uses stay in memory. */
  readonly maxIdleRuns: number;
}

/** A watcher that keeps its run in memory until it is closed. */
export interface OpenWatcher {
  readonly watcher: Watcher;
  close(): void;
}

/** The runs in memory, each once. */
export interface LiveRuns {
  using<T>(id: string, work: (run: LiveRun) => Promise<T>): Promise<T>;
  /** Undefined when there is no such run. The status is the caller's own. `known`: what the caller has just seen of it. */
  read(id: string, known?: ExecutionRecord): Promise<AgentExecutionStatus | undefined>;
  /** Undefined when there is no such run. */
  watch(id: string, options: WatchOptions): Promise<OpenWatcher | undefined>;
  /** The run is gone: those who watch it are ended with this error. */
  forget(id: string, error: Error): void;
}

export function createLiveRuns(options: LiveRunsOptions): LiveRuns {
  const { store, maxIdleRuns } = options;
  const entries = new Map<string, { readonly run: LiveRun; users: number }>();

  /** Keeps the run in memory while it is used, and a while longer: the order of `entries` is that of their last use. */
  function acquire(id: string): { run: LiveRun; release(): void } {
    const entry = entries.get(id) ?? { run: createLiveRun({ ...options, id }), users: 0 };
    entry.users += 1;
    entries.delete(id);
    entries.set(id, entry);
    const release = (): void => {
      entry.users -= 1;
      if (entry.users === 0 && entry.run.ended && entries.get(id) === entry) entries.delete(id);
      evictIdle();
    };
    return { run: entry.run, release };
  }

  function evictIdle(): void {
    let excess = entries.size - maxIdleRuns;
    for (const [id, { users }] of entries) {
      if (excess <= 0) return;
      if (users > 0) continue;
      entries.delete(id);
      excess -= 1;
    }
  }

  async function using<T>(id: string, work: (run: LiveRun) => Promise<T>): Promise<T> {
    const { run, release } = acquire(id);
    try {
      return await work(run);
    } finally {
      release();
    }
  }

  return {
    using,
    read: async (id, known) => {
      if ((known?.ended ?? true) && !entries.has(id)) {
        // Without taking a place in memory.
        const ended = await readEnded(store.executions, id);
        if (ended) return ended;
      }
      return (await using(id, (run) => run.read(known)))?.status;
    },
    watch: async (id, watchOptions) => {
      const { run, release } = acquire(id);
      let watcher: Watcher | undefined;
      try {
        watcher = await run.watch(watchOptions);
      } finally {
        if (!watcher) release();
      }
      if (!watcher) return undefined;
      const opened = watcher;
      const close = (): void => {
        run.unwatch(opened);
        release();
      };
      return { watcher, close };
    },
    forget: (id, error) => {
      entries.get(id)?.run.endWatchers(error);
      entries.delete(id);
    },
  };
}
