import { clone, fromBinary, toBinary } from "@bufbuild/protobuf";
import { AgentExecutionStatusSchema, ExecutionPhase, StatusDeltaSchema } from "@stigmer/protos/agentexecution/v1";
import type { AgentExecutionStatus, StatusDelta } from "@stigmer/protos/agentexecution/v1";
import { isTerminal } from "@stigmer/status";
import type { Fanout } from "../fanout/fanout.ts";
import type { AppendResult, ExecutionRecord, ExecutionSummary, StatusAppend } from "../store/execution-store.ts";
import { refusalOf } from "../store/execution-store.ts";
import type { Store } from "../store/store.ts";
import { withEndTime } from "./closing-delta.ts";
import { continues, type LoadedRun, loadRun, MAX_ATTEMPTS } from "./load-run.ts";
import type { LookUps } from "./look-ups.ts";
import { deletedExecution, missingExecution } from "./refusals.ts";
import { createRemoteChanges } from "./remote-changes.ts";
import { createWatcher, type PublishedChange, type RunEvent, type Watcher, type WatcherOptions } from "./watcher.ts";

export interface LiveRunOptions {
  readonly id: string;
  readonly store: Pick<Store, "executions">;
  /** Tells others of changes made here, and here of changes made by others. */
  readonly fanout: Fanout;
  readonly lookUps: LookUps;
  /** Milliseconds since 1970. */
  readonly clock: () => number;
  /** A log larger than this, and than twice the status, is compacted into a snapshot. In bytes. */
  readonly compactAfterBytes: number;
  /** A run that ends with no larger log than this keeps it, if the changes are few. In bytes. */
  readonly keptLogBytes: number;
  readonly maxPendingBytes: number;
}

/** What somebody wants to change, once the current status is known. */
export type ProposedChange = Pick<StatusAppend, "fence" | "sequence" | "amends" | "place" | "rests" | "endsLeaseOf"> & {
  readonly delta: StatusDelta;
};

export type ChangeOutcome = AppendResult | { readonly kind: "unchanged" };

export interface WatchOptions extends Pick<WatcherOptions, "mode" | "wake"> {
  /** The latest revision that the watcher has; 0: none. */
  readonly afterRevision: number;
}

/** One run: its status folded in memory, its watchers, and the order of what happens to it. */
export interface LiveRun {
  /** Applies, stores and publishes what `propose` answers to the current status; nothing when it answers undefined. */
  change(propose: (status: AgentExecutionStatus) => ProposedChange | undefined): Promise<ChangeOutcome>;
  /** Undefined when there is no such run. The status is the caller's own. `known`: what the caller has just seen of it. */
  read(
    known?: ExecutionRecord,
  ): Promise<{ readonly revision: number; readonly status: AgentExecutionStatus } | undefined>;
  /** Undefined when there is no such run. `unwatch` must be called in the end. */
  watch(options: WatchOptions): Promise<Watcher | undefined>;
  unwatch(watcher: Watcher): void;
  /** Ends all watchers with this error. */
  endWatchers(error: Error): void;
  /** Whether the run is known to have ended: it needs no memory any more. */
  readonly ended: boolean;
}

/** How many changes an ended run's log may have. To fold one takes about 20 µs. */
const MOST_CHANGES_KEPT = 32;

/** Every so many revisions watchers are told the hash of the status. */
const HASH_EVERY = 32;

export function createLiveRun(options: LiveRunOptions): LiveRun {
  const { id, fanout } = options;
  const { executions } = options.store;
  const watchers = new Set<Watcher>();
  let loaded: LoadedRun | undefined;
  /** What every watcher has been told of, at least. */
  let published = 0;
  let queue: Promise<unknown> = Promise.resolve();

  const remote = createRemoteChanges({
    id,
    fanout,
    lookUps: options.lookUps,
    revision: () => loaded?.revision ?? published,
    accept: (changes) => inTurn(() => acceptAll(changes)),
    gone: () => {
      loaded = undefined;
      endWatchers(deletedExecution(id));
    },
  });

  /** What happens to a run happens one after the other: a watcher that joins misses nothing and sees nothing twice. */
  function inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = queue.then(work);
    queue = turn.catch(() => {});
    return turn;
  }

  /** The run as it is known here, or read anew. */
  async function load(known?: ExecutionRecord): Promise<LoadedRun | undefined> {
    if (loaded) return loaded;
    loaded = await loadRun(executions, id, known);
    if (loaded) await tellMissed(loaded);
    else endWatchers(deletedExecution(id));
    return loaded;
  }

  /** The run as it is in the store: others may have written. */
  async function loadCurrent(known?: ExecutionRecord): Promise<LoadedRun | undefined> {
    if (!fanout.shared || !loaded) return load(known);
    return loadUpTo((await executions.revisions([id])).get(id));
  }

  /** The run at this revision, or a later one; undefined when it is gone. */
  async function loadUpTo(revision: number | undefined): Promise<LoadedRun | undefined> {
    // A run that went back is another one under the same id.
    if (loaded && (revision === undefined || revision < loaded.revision)) loaded = undefined;
    const current = await load();
    if (!current || current.revision >= (revision ?? 0)) return current;
    const rows = await executions.log(id, current.revision);
    const whole = rows.length > 0 && continues(rows, current.revision);
    if (whole && rows.every((row) => acceptChange(current, row.revision, row.delta))) return current;
    loaded = undefined;
    return load();
  }

  async function acceptAll({
    changes,
    upTo,
  }: {
    readonly changes: readonly { readonly revision: number; readonly delta?: Uint8Array }[];
    readonly upTo: number;
  }): Promise<void> {
    const current = await load();
    if (!current) return;
    for (const { revision, delta } of changes) {
      if (revision <= current.revision) continue;
      if (!delta || revision !== current.revision + 1 || !acceptChange(current, revision, delta)) break;
    }
    if (current.revision < upTo || loaded !== current) await loadUpTo(upTo);
  }

  /** A change that is stored already. False when it does not fit, and all has to be read again. */
  function acceptChange(current: LoadedRun, revision: number, bytes: Uint8Array): boolean {
    const delta = fromBinary(StatusDeltaSchema, bytes);
    try {
      current.fold.apply(delta);
    } catch {
      loaded = undefined;
      return false;
    }
    current.revision = revision;
    current.logBytes += bytes.length;
    current.ended ||= isTerminal(current.fold.status.phase);
    publish(current, delta, bytes.length);
    return true;
  }

  async function change(propose: (status: AgentExecutionStatus) => ProposedChange | undefined): Promise<ChangeOutcome> {
    for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
      // Where nobody else writes, what is known of a run under way is what is stored: one look, which is `append`'s, is enough.
      const known = attempt === 0 && !fanout.shared && loaded?.ended === false ? loaded : undefined;
      const state = known ? undefined : await executions.writeState(id);
      const current = known ?? (await loadUpTo(state?.revision));
      if (!current) return { kind: "missing" };
      const proposed = propose(current.fold.status);
      if (!proposed) return { kind: "unchanged" };
      // Decided before the fold is touched where that costs nothing; `append` decides for good.
      const attempted = { ...proposed, expectedRevision: current.revision, known: state };
      const refusal = known ? undefined : refusalOf(attempted, state);
      const result = refusal ?? (await store(current, attempted));
      if (result.kind !== "moved") return result;
    }
    throw new Error(`The status of ${id} is being changed by another server all the time.`);
  }

  /** Folds, appends, publishes. When it does not come to the last, the fold is read anew next time. */
  async function store(
    current: LoadedRun,
    proposed: ProposedChange & Pick<StatusAppend, "expectedRevision" | "known">,
  ): Promise<AppendResult> {
    const { fold } = current;
    const before = summaryOf(fold.status);
    const delta = withEndTime(proposed.delta, new Date(options.clock()).toISOString());
    try {
      fold.apply(delta);
    } catch (error) {
      // What does not fit is a repeated change, or a zombie's, before it is a wrong one.
      const refusal = proposed.known ? undefined : refusalOf(proposed, await executions.writeState(id));
      if (refusal) return refusal;
      throw error;
    }
    loaded = undefined;
    const after = summaryOf(fold.status);
    const amended = current.ended;
    const ends = !amended && isTerminal(after.phase);
    const bytes = toBinary(StatusDeltaSchema, delta);
    const logBytes = current.logBytes + bytes.length;
    const compacts = logBytes > options.compactAfterBytes && logBytes > 2 * current.snapshotBytes;
    const compactsEnd = ends && !keepsLog(current, logBytes);
    const snapshot = compactsEnd || amended || compacts ? toBinary(AgentExecutionStatusSchema, fold.status) : undefined;
    const summary = difference(before, after);
    const { phase = ExecutionPhase.EXECUTION_IN_PROGRESS } = summary;
    const { fence, sequence, amends, place, rests, endsLeaseOf, expectedRevision, known } = proposed;
    const result = await executions.append({
      id,
      fence,
      sequence,
      amends,
      place,
      rests,
      endsLeaseOf,
      expectedRevision,
      known,
      snapshot,
      ends,
      delta: bytes,
      summary,
      // What a runner at work shows of it; what it rests on stands in its checkpoints and in the ledger.
      passing: fence !== undefined && !snapshot && rests !== true && phase === ExecutionPhase.EXECUTION_IN_PROGRESS,
    });
    if (result.kind !== "appended") return result;

    const { revision } = result;
    current.revision = revision;
    current.ended ||= ends;
    current.logBytes = logBytes;
    if (snapshot) Object.assign(current, { logBytes: 0, snapshotRevision: revision, snapshotBytes: snapshot.length });
    loaded = current;
    publish(current, delta, bytes.length);
    const summaryChanged = Object.keys(summary).length > 0;
    fanout.publish({
      ...current.home,
      kind: "changed",
      executionId: id,
      revision,
      summaryChanged,
      amended,
      delta: bytes,
    });
    return result;
  }

  /**
   * Whether a run that ends now is left as it is: to write all of it once more, and to clear away what it came from, costs the disk as
   * much as the run did. Who reads it folds its log then, so that is kept only where this is no work.
   */
  function keepsLog({ revision, snapshotRevision }: LoadedRun, logBytes: number): boolean {
    const changes = revision + 1 - snapshotRevision;
    return executions.keepsLogs && changes <= MOST_CHANGES_KEPT && logBytes <= options.keptLogBytes;
  }

  function publish(current: LoadedRun, delta: StatusDelta, bytes: number): void {
    const { revision, ended } = current;
    published = revision;
    if (watchers.size === 0) return;
    const stateHash = ended || revision % HASH_EVERY === 0 ? current.fold.hash() : undefined;
    for (const watcher of watchers) {
      watcher.push({ revision, delta, bytes, stateHash });
      if (ended) watcher.end();
    }
  }

  /** What watchers were not told because the run was read anew. */
  async function tellMissed(current: LoadedRun): Promise<void> {
    if (watchers.size === 0 || current.revision === published) {
      published = current.revision;
      return;
    }
    const missed = await changesAfter(current, published);
    published = current.revision;
    for (const watcher of watchers) {
      if (missed) for (const each of missed) watcher.push(each);
      else watcher.restart();
      if (current.ended) watcher.end();
    }
  }

  function endWatchers(error: Error): void {
    for (const watcher of watchers) watcher.end(error);
  }

  async function readSnapshot(read: () => Promise<LoadedRun | undefined>): Promise<ReadSnapshot | undefined> {
    const current = await read();
    if (!current) return undefined;
    const status = clone(AgentExecutionStatusSchema, current.fold.status);
    status.revision = current.revision;
    return { kind: "snapshot", revision: current.revision, status };
  }

  async function watch({ mode, afterRevision, wake }: WatchOptions): Promise<Watcher | undefined> {
    const current = await loadCurrent();
    if (!current) return undefined;
    const missed = mode === "deltas" ? await changesAfter(current, afterRevision) : undefined;
    const watcher = createWatcher({
      mode,
      missed,
      wake,
      maxPendingBytes: options.maxPendingBytes,
      snapshot: (atRead) =>
        inTurn(async () => {
          const snapshot = await readSnapshot(load);
          if (!snapshot) throw missingExecution(id);
          atRead();
          return { ...snapshot, stateHash: loaded?.fold.hash() };
        }),
    });
    watchers.add(watcher);
    if (current.ended) watcher.end();
    return watcher;
  }

  /** Undefined when the log does not reach back that far: after a compaction, or for a revision that never was. */
  async function changesAfter(current: LoadedRun, revision: number): Promise<PublishedChange[] | undefined> {
    if (revision === current.revision) return [];
    if (revision < 1 || revision > current.revision) return undefined;
    const rows = (await executions.log(id, revision)).filter((row) => row.revision <= current.revision);
    if (rows.at(-1)?.revision !== current.revision || !continues(rows, revision)) return undefined;
    return rows.map((row) => ({
      revision: row.revision,
      delta: fromBinary(StatusDeltaSchema, row.delta),
      bytes: row.delta.length,
      stateHash: row.revision === current.revision ? current.fold.hash() : undefined,
    }));
  }

  return {
    change: (propose) => inTurn(() => change(propose)),
    read: (known) => inTurn(() => readSnapshot(() => loadCurrent(known))),
    watch: async (watchOptions) => {
      const heard = remote.listen();
      let watcher: Watcher | undefined;
      try {
        await heard;
        watcher = await inTurn(() => watch(watchOptions));
        return watcher;
      } finally {
        if (!watcher) remote.unlisten();
      }
    },
    unwatch: (watcher) => {
      if (watchers.delete(watcher)) remote.unlisten();
    },
    endWatchers,
    get ended() {
      return loaded?.ended ?? false;
    },
  };
}

type ReadSnapshot = RunEvent & { readonly kind: "snapshot" };

function summaryOf({ phase, error, startedAt, completedAt }: AgentExecutionStatus): ExecutionSummary {
  return { phase, error, startedAt, completedAt };
}

function difference(before: ExecutionSummary, after: ExecutionSummary): Partial<ExecutionSummary> {
  const changed = Object.entries(after).filter(([key, value]) => before[key as keyof ExecutionSummary] !== value);
  return Object.fromEntries(changed);
}
