// What a run writes down while it goes on: the results of its tools on their way into the ledger, and behind them the
// checkpoints that hold those results.
import type { RunnableConfig } from "@langchain/core/runnables";
import {
  BaseCheckpointSaver,
  type ChannelVersions,
  type Checkpoint,
  type CheckpointListOptions,
  type CheckpointMetadata,
  type CheckpointTuple,
  type PendingWrite,
  WRITES_IDX_MAP,
} from "@langchain/langgraph-checkpoint";
import { runThreadOf } from "../sub-agents/background-place.ts";

/** One run's. */
export interface RunWrites {
  /** Aborted, with the reason, when something can't be written: the run must end. */
  readonly failed: AbortSignal;
  /** Lets the run go on while a result is being written; no checkpoint is written before that is done. */
  follow(result: Promise<void>): void;
  /** Whether something is not written yet, or couldn't be: otherwise `written` has nothing to wait for. */
  readonly isBehind: boolean;
  /** Resolves when all is written. Throws what couldn't be. */
  written(): Promise<void>;
  /** Resolves when all is written and outlives a power cut too. Throws what couldn't be. */
  settled(): Promise<void>;
  /** Resolves when nothing is under way any more, well or not; what comes later is waited for where it comes. */
  close(): Promise<void>;
}

export interface WriteBehind {
  /** Keeps checkpoints as the given one does. Those that come while a result is on its way are accepted and follow it. */
  readonly checkpointer: BaseCheckpointSaver;
  /** A run begins on the thread, which has one at a time, and on those of its background tasks. */
  open(threadId: string): RunWrites;
  /** Of the run that is under way on the thread. */
  of(threadId: unknown): RunWrites | undefined;
}

/** Without `flush` what was put outlives a power cut by itself. */
type FlushableSaver = BaseCheckpointSaver & { flush?(): Promise<void> };

/**
 * A tool's result need not be in the ledger before the model reads it, only before the next effect: so that the run goes on
 * meanwhile. The order of what is written stays: first the result, under the fence, then a checkpoint with it. A runner that
 * has lost its run without knowing it is refused by the ledger and leaves the thread as its successor has it.
 */
export function createWriteBehind(
  checkpointer: FlushableSaver,
  /** Where nothing waits for `settled` before an effect, as without a ledger: each step outlives a power cut by itself. */
  { flushEach = false }: { readonly flushEach?: boolean } = {},
): WriteBehind {
  const runs = new Map<string, Run>();
  const flush = async (): Promise<void> => checkpointer.flush?.();
  return {
    checkpointer: new FollowingSaver(checkpointer, { runs, ...(flushEach && { afterWrite: flush }) }),
    open(thread) {
      const threadId = runThreadOf(thread);
      const run = createRun(flush, () => {
        if (runs.get(threadId) === run) runs.delete(threadId);
      });
      runs.set(threadId, run);
      return run;
    },
    of: (threadId) => runs.get(runThreadOf(threadId)),
  };
}

interface Run extends RunWrites {
  /** Resolves when nothing is under way any more, well or not. */
  drained(): Promise<void>;
  /**
   * Writes a checkpoint now and resolves when it is written, or accepts it when it has to wait for a result. `after` is the
   * checkpoint before it: what the tasks of that step gave, and is still kept back, is part of this one.
   */
  checkpoint(write: () => Promise<unknown>, after?: string): Promise<unknown>;
  /** Keeps back what a task gave at the checkpoint `at` until its step is over, or takes too long. */
  keepBack(write: () => Promise<unknown>, at: string): void;
  /** Writes what is kept back. */
  release(): void;
}

/**
 * Milliseconds for which a task's results are kept back. Most steps have one task, or many that end together, and a checkpoint
 * with all of it comes right after: then writing them beside it would be done for nothing. A process that dies meanwhile asks
 * the model once more; what its tools did stands in the ledger.
 */
const keepBackMs = 50;

function createRun(flush: () => Promise<void>, onClose: () => void): Run {
  const failed = new AbortController();
  const results = new Set<Promise<void>>();
  /** The last of the checkpoints that wait: each waits for the one before. */
  let last: Promise<void> | undefined;
  const keptBack = new Map<string, (() => Promise<unknown>)[]>();
  let timer: NodeJS.Timeout | undefined;
  const underWay = (): Promise<unknown> | undefined =>
    results.size > 0 || last !== undefined ? Promise.all([...results, last]) : undefined;
  const fail = (error: unknown): void => failed.abort(error);
  const idle = async (): Promise<void> => {
    for (let more = underWay(); more !== undefined; more = underWay()) await more;
  };
  const writeAfter = (before: Promise<unknown>, write: () => Promise<unknown>): void => {
    const following: Promise<void> = before
      .then(() => (failed.signal.aborted ? undefined : write()))
      .catch(fail)
      .then(() => {
        if (last === following) last = undefined;
        return;
      });
    last = following;
  };
  const release = (): void => {
    clearTimeout(timer);
    timer = undefined;
    const writes = [...keptBack.values()].flat();
    keptBack.clear();
    for (const write of writes) writeAfter(underWay() ?? Promise.resolve(), write);
  };
  const drained = async (): Promise<void> => {
    release();
    await idle();
  };
  const written = async (): Promise<void> => {
    await idle();
    failed.signal.throwIfAborted();
  };
  return {
    failed: failed.signal,
    get isBehind() {
      return results.size > 0 || last !== undefined || failed.signal.aborted;
    },
    follow(result) {
      const followed = result.catch(fail).finally(() => results.delete(followed));
      results.add(followed);
    },
    async checkpoint(write, after = "") {
      keptBack.delete(after);
      // The run is at its end, and shall be found where the ledger has it.
      if (failed.signal.aborted) return;
      const before = underWay();
      if (before === undefined) return write();
      writeAfter(before, write);
    },
    keepBack(write, at) {
      keptBack.set(at, [...(keptBack.get(at) ?? []), write]);
      timer ??= setTimeout(release, keepBackMs);
    },
    release,
    drained,
    written,
    async settled() {
      release();
      await written();
      await flush();
    },
    async close() {
      await drained();
      onClose();
    },
  };
}

class FollowingSaver extends BaseCheckpointSaver {
  readonly #inner: BaseCheckpointSaver;
  readonly #runs: ReadonlyMap<string, Run>;

  /** Left out where what was written need not outlive a power cut by itself. */
  readonly #afterWrite: (() => Promise<void>) | undefined;

  constructor(
    inner: BaseCheckpointSaver,
    { runs, afterWrite }: { readonly runs: ReadonlyMap<string, Run>; readonly afterWrite?: () => Promise<void> },
  ) {
    super(inner.serde);
    this.#inner = inner;
    this.#runs = runs;
    this.#afterWrite = afterWrite;
  }

  override async getTuple(config: RunnableConfig): Promise<CheckpointTuple | undefined> {
    await this.#runOf(config)?.drained();
    return this.#inner.getTuple(config);
  }

  override async *list(config: RunnableConfig, options?: CheckpointListOptions): AsyncGenerator<CheckpointTuple> {
    await this.#runOf(config)?.drained();
    yield* this.#inner.list(config, options);
  }

  override async put(
    config: RunnableConfig,
    checkpoint: Checkpoint,
    metadata: CheckpointMetadata,
    newVersions: ChannelVersions,
  ): Promise<RunnableConfig> {
    const run = this.#runOf(config);
    const write = async (): Promise<RunnableConfig> => {
      const stored = await this.#inner.put(config, checkpoint, metadata, newVersions);
      await this.#afterWrite?.();
      return stored;
    };
    if (run === undefined) return write();
    await run.checkpoint(write, placeOf(config));
    const { thread_id, checkpoint_ns } = config.configurable as Readonly<Record<string, unknown>>;
    return { configurable: { thread_id, checkpoint_ns: checkpoint_ns ?? "", checkpoint_id: checkpoint.id } };
  }

  override async putWrites(config: RunnableConfig, writes: PendingWrite[], taskId: string): Promise<void> {
    const write = async (): Promise<void> => {
      await this.#inner.putWrites(config, writes, taskId);
      await this.#afterWrite?.();
    };
    const run = this.#runOf(config);
    if (run === undefined) return write();
    // Errors, interrupts and the like are followed by no checkpoint.
    const isResult = writes.every(([channel]) => !(channel in WRITES_IDX_MAP));
    if (isResult && this.#afterWrite === undefined) return run.keepBack(write, placeOf(config));
    run.release();
    await run.checkpoint(write);
  }

  override async deleteThread(threadId: string): Promise<void> {
    await this.#inner.deleteThread(threadId);
  }

  override getNextVersion(current: number | undefined): number {
    return this.#inner.getNextVersion(current);
  }

  #runOf({ configurable }: RunnableConfig): Run | undefined {
    return this.#runs.get(runThreadOf(configurable?.["thread_id"]));
  }
}

/** Names a checkpoint of a thread, in whichever of its graphs. */
function placeOf({ configurable = {} }: RunnableConfig): string {
  const { thread_id, checkpoint_ns = "", checkpoint_id = "" } = configurable as Readonly<Record<string, string>>;
  return JSON.stringify([thread_id, checkpoint_ns, checkpoint_id]);
}
