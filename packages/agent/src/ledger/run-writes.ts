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
  /** Begins to write what is kept back: from here on `isBehind` and `written` know of it. */
  release(): void;
  /** Resolves when all is written but what is kept back for something to follow it. Throws what couldn't be. */
  written(): Promise<void>;
  /** Resolves when all is written and outlives a power cut too. Throws what couldn't be. */
  settled(): Promise<void>;
  /** Resolves when nothing is under way any more, well or not; what comes later is waited for where it comes. */
  close(): Promise<void>;
}

export interface WriteBehind {
  /**
   * Keeps checkpoints as the given one does, and knows of all that were put. They are accepted and written later: behind a result
   * that is on its way, or with those that follow.
   */
  readonly checkpointer: BaseCheckpointSaver;
  /** A run begins on the thread, which has one at a time, and on those of its background tasks. */
  open(threadId: string): RunWrites;
  /** Of the run that is under way on the thread. */
  of(threadId: unknown): RunWrites | undefined;
}

type RunSaver = BaseCheckpointSaver & {
  /** Without it what was put outlives a power cut by itself. */
  flush?(): Promise<void>;
  /** Without it nobody tells when somebody else has the thread. */
  putNext?: BaseCheckpointSaver["put"];
};

/**
 * A tool's result need not be in the ledger before the model reads it, only before the next effect: so that the run goes on
 * meanwhile. The order of what is written stays: first the result, under the fence, then a checkpoint with it. A runner that
 * has lost its run without knowing it is refused by the ledger and leaves the thread as its successor has it.
 *
 * Nor need each checkpoint be written: of those that follow each other the last one has all there is. Before something is done
 * or told that rests on them they are released, and waited for as results are.
 */
export function createWriteBehind(
  checkpointer: RunSaver,
  /** Where nothing waits for `settled` before an effect, as without a ledger: each step outlives a power cut by itself. */
  { flushEach = false }: { readonly flushEach?: boolean } = {},
): WriteBehind {
  const runs = new Map<string, Run>();
  const flush = async (): Promise<void> => checkpointer.flush?.();
  const putNext: BaseCheckpointSaver["put"] = (...next) =>
    (checkpointer.putNext ?? checkpointer.put).apply(checkpointer, next);
  return {
    checkpointer: new FollowingSaver(checkpointer, { runs, putNext, ...(flushEach && { afterWrite: flush }) }),
    open(thread) {
      const threadId = runThreadOf(thread);
      const run = createRun({
        flush,
        put: ({ config, checkpoint, metadata, newVersions }) => putNext(config, checkpoint, metadata, newVersions),
        onClose: () => {
          if (runs.get(threadId) === run) runs.delete(threadId);
        },
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
  /** Keeps a checkpoint back until something must not come before it, or it takes too long. One that follows it takes its place. */
  hold(checkpoint: HeldCheckpoint): void;
  /** Keeps back what a task gave at the checkpoint `at` until its step is over, or takes too long. */
  keepBack(write: () => Promise<unknown>, at: string): void;
}

interface HeldCheckpoint {
  /** Names the checkpoint before it. */
  readonly config: RunnableConfig;
  readonly checkpoint: Checkpoint;
  readonly metadata: CheckpointMetadata;
  readonly newVersions: ChannelVersions;
}

/**
 * Milliseconds for which checkpoints and tasks' results are kept back. Most steps have one task, or many that end together, and a
 * checkpoint with all of it comes right after; and of the steps up to a model call, or from its answer to the first tool, the
 * last one's checkpoint has all there is: then writing the others would be done for nothing. A process that dies meanwhile asks
 * the model once more; what its tools did stands in the ledger, and no call is looked at before its step is written down. Long enough
 * for a runner with many runs, where the next one comes late; what a model takes is mostly longer.
 */
const keepBackMs = 250;

interface RunOptions {
  flush(): Promise<void>;
  put(checkpoint: HeldCheckpoint): Promise<unknown>;
  onClose(): void;
}

function createRun({ flush, put, onClose }: RunOptions): Run {
  const failed = new AbortController();
  const results = new Set<Promise<void>>();
  /** The last of the checkpoints that wait: each waits for the one before. */
  let last: Promise<void> | undefined;
  const keptBack = new Map<string, (() => Promise<unknown>)[]>();
  /** One of each graph. */
  const held = new Map<string, HeldCheckpoint>();
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
    // What tasks gave belongs to checkpoints that are there.
    const writes = [...[...held.values()].map((each) => () => put(each)), ...[...keptBack.values()].flat()];
    held.clear();
    keptBack.clear();
    for (const write of writes) writeAfter(underWay() ?? Promise.resolve(), write);
  };
  const drained = async (): Promise<void> => {
    do {
      release();
      await idle();
    } while (held.size > 0 || keptBack.size > 0);
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
    hold(next) {
      keptBack.delete(placeOf(next.config));
      if (failed.signal.aborted) return;
      const graph = graphOf(next.config);
      const before = held.get(graph);
      const follows = before !== undefined && before.checkpoint.id === next.config.configurable?.["checkpoint_id"];
      if (before !== undefined && !follows) release();
      const { config, newVersions } = follows ? before : { config: next.config, newVersions: {} };
      held.set(graph, { ...next, config, newVersions: { ...newVersions, ...next.newVersions } });
      timer ??= setTimeout(release, keepBackMs);
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

interface FollowingOptions {
  readonly runs: ReadonlyMap<string, Run>;
  /** Puts a checkpoint of one of them. */
  readonly putNext: BaseCheckpointSaver["put"];
  readonly afterWrite?: () => Promise<void>;
}

class FollowingSaver extends BaseCheckpointSaver {
  readonly #inner: BaseCheckpointSaver;
  readonly #runs: ReadonlyMap<string, Run>;

  readonly #putNext: BaseCheckpointSaver["put"];

  /** Left out where what was written need not outlive a power cut by itself. */
  readonly #afterWrite: (() => Promise<void>) | undefined;

  constructor(inner: BaseCheckpointSaver, { runs, putNext, afterWrite }: FollowingOptions) {
    super(inner.serde);
    this.#inner = inner;
    this.#runs = runs;
    this.#putNext = putNext;
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
      const put = run === undefined ? this.#inner.put.bind(this.#inner) : this.#putNext;
      const stored = await put(config, checkpoint, metadata, newVersions);
      await this.#afterWrite?.();
      return stored;
    };
    if (run === undefined) return write();
    if (this.#afterWrite === undefined) run.hold({ config, checkpoint, metadata, newVersions });
    else await run.checkpoint(write, placeOf(config));
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
    // What is kept back would come after it.
    await this.#runs.get(runThreadOf(threadId))?.drained();
    await this.#inner.deleteThread(threadId);
  }

  override getNextVersion(current: number | undefined): number {
    return this.#inner.getNextVersion(current);
  }

  #runOf({ configurable }: RunnableConfig): Run | undefined {
    return this.#runs.get(runThreadOf(configurable?.["thread_id"]));
  }
}

function graphOf({ configurable = {} }: RunnableConfig): string {
  const { thread_id, checkpoint_ns = "" } = configurable as Readonly<Record<string, string>>;
  return JSON.stringify([thread_id, checkpoint_ns]);
}

/** Names a checkpoint of a thread, in whichever of its graphs. */
function placeOf({ configurable = {} }: RunnableConfig): string {
  const { thread_id, checkpoint_ns = "", checkpoint_id = "" } = configurable as Readonly<Record<string, string>>;
  return JSON.stringify([thread_id, checkpoint_ns, checkpoint_id]);
}
