import { clone, fromBinary, toBinary } from "@bufbuild/protobuf";
import { AgentExecutionStatusSchema, StatusDeltaSchema } from "@stigmer/protos/agentexecution/v1";
import type { AgentExecutionStatus, StatusDelta } from "@stigmer/protos/agentexecution/v1";
import { createStatusFold, isTerminal, type StatusFold } from "@stigmer/status";
import type { AppendRefusal, ExecutionSummary, StatusAppend } from "../store/execution-store.ts";
import { refusalOf } from "../store/execution-store.ts";
import type { Store } from "../store/store.ts";
import { withEndTime } from "./closing-delta.ts";
import { createWatcher, type PublishedChange, type RunEvent, type Watcher } from "./watcher.ts";

export interface LiveRunOptions {
  readonly id: string;
  readonly store: Pick<Store, "executions">;
  /** Milliseconds since 1970. */
  readonly clock: () => number;
  /** A log larger than this, and than twice the status, is compacted into a snapshot. In bytes. */
  readonly compactAfterBytes: number;
  readonly maxPendingBytes: number;
}

/** What somebody wants to change, once the current status is known. */
export type ProposedChange = Pick<StatusAppend, "fence" | "sequence" | "amends" | "place"> & {
  readonly delta: StatusDelta;
};

export type ChangeOutcome =
  | { readonly kind: "appended"; readonly revision: number }
  | { readonly kind: "unchanged" }
  | AppendRefusal;

/** One run: its status folded in memory, its watchers, and the order of what happens to it. */
export interface LiveRun {
  /** Applies, stores and publishes what `propose` answers to the current status; nothing when it answers undefined. */
  change(propose: (status: AgentExecutionStatus) => ProposedChange | undefined): Promise<ChangeOutcome>;
  /** Undefined when there is no such run. The status is the caller's own. */
  read(): Promise<{ readonly revision: number; readonly status: AgentExecutionStatus } | undefined>;
  /** Undefined when there is no such run. `unwatch` must be called in the end. */
  watch(mode: "whole" | "deltas", afterRevision: number): Promise<Watcher | undefined>;
  unwatch(watcher: Watcher): void;
  /** Ends all watchers with this error. */
  endWatchers(error: Error): void;
  /** Whether the run is known to have ended: it needs no memory any more. */
  readonly ended: boolean;
}

interface Loaded {
  readonly fold: StatusFold;
  revision: number;
  ended: boolean;
  /** Size of the log since the snapshot, in bytes. */
  logBytes: number;
  /** Size of the status at the snapshot. */
  snapshotBytes: number;
}

/** Another server may write between reading and writing; then all is read again, this often. */
const MAX_ATTEMPTS = 5;

export function createLiveRun(options: LiveRunOptions): LiveRun {
  const { id } = options;
  const { executions } = options.store;
  const watchers = new Set<Watcher>();
  let loaded: Loaded | undefined;
  let queue: Promise<unknown> = Promise.resolve();

  /** What happens to a run happens one after the other: a watcher that joins misses nothing and sees nothing twice. */
  function inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = queue.then(work);
    queue = turn.catch(() => {});
    return turn;
  }

  async function load(): Promise<Loaded | undefined> {
    loaded ??= await read();
    return loaded;
  }

  async function read(): Promise<Loaded | undefined> {
    for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
      const state = await executions.writeState(id);
      const snapshot = state && (await executions.snapshot(id));
      if (!snapshot) return undefined;
      const log = await executions.log(id, snapshot.revision);
      // Each is read on its own: a compaction in between shows as a gap.
      if (log.some(({ revision }, index) => revision !== snapshot.revision + index + 1)) continue;
      const fold = createStatusFold(fromBinary(AgentExecutionStatusSchema, snapshot.status));
      for (const { delta } of log) fold.apply(fromBinary(StatusDeltaSchema, delta));
      return {
        fold,
        revision: log.at(-1)?.revision ?? snapshot.revision,
        ended: state.ended,
        logBytes: log.reduce((sum, { delta }) => sum + delta.length, 0),
        snapshotBytes: snapshot.status.length,
      };
    }
    throw new Error(`The status of ${id} changed faster than it could be read.`);
  }

  async function change(propose: (status: AgentExecutionStatus) => ProposedChange | undefined): Promise<ChangeOutcome> {
    for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
      const current = await load();
      if (!current) return { kind: "missing" };
      const proposed = propose(current.fold.status);
      if (!proposed) return { kind: "unchanged" };
      // Decided before the fold is touched, so that a zombie's writes cost nothing; `append` decides for good.
      const attempted = { ...proposed, expectedRevision: current.revision };
      const refusal = refusalOf(attempted, await executions.writeState(id)) ?? (await store(current, attempted));
      if (!refusal) return { kind: "appended", revision: current.revision };
      if (refusal.kind !== "moved") return refusal;
      loaded = undefined;
    }
    throw new Error(`The status of ${id} is being changed by another server all the time.`);
  }

  /** Folds, appends, publishes. When it does not come to the last, the fold is read anew next time. */
  async function store(
    current: Loaded,
    proposed: ProposedChange & { readonly expectedRevision: number },
  ): Promise<AppendRefusal | undefined> {
    const { fold } = current;
    const before = summaryOf(fold.status);
    const delta = withEndTime(proposed.delta, new Date(options.clock()).toISOString());
    fold.apply(delta);
    loaded = undefined;
    const after = summaryOf(fold.status);
    const ends = !current.ended && isTerminal(after.phase);
    const bytes = toBinary(StatusDeltaSchema, delta);
    const logBytes = current.logBytes + bytes.length;
    const compacts = logBytes > options.compactAfterBytes && logBytes > 2 * current.snapshotBytes;
    const snapshot = ends || current.ended || compacts ? toBinary(AgentExecutionStatusSchema, fold.status) : undefined;
    const { fence, sequence, amends, place, expectedRevision } = proposed;
    const result = await executions.append({
      id,
      fence,
      sequence,
      amends,
      place,
      expectedRevision,
      snapshot,
      ends,
      delta: bytes,
      summary: difference(before, after),
    });
    if (result.kind !== "appended") return result;

    current.revision = result.revision;
    current.ended ||= ends;
    current.logBytes = snapshot ? 0 : logBytes;
    current.snapshotBytes = snapshot?.length ?? current.snapshotBytes;
    loaded = current;
    publish({ revision: result.revision, delta, bytes: bytes.length }, current.ended);
    return undefined;
  }

  function publish(published: PublishedChange, ended: boolean): void {
    for (const watcher of watchers) {
      watcher.push(published);
      if (ended) watcher.end();
    }
  }

  async function readSnapshot(): Promise<(RunEvent & { kind: "snapshot" }) | undefined> {
    const current = await load();
    if (!current) return undefined;
    const status = clone(AgentExecutionStatusSchema, current.fold.status);
    status.revision = current.revision;
    return { kind: "snapshot", revision: current.revision, status };
  }

  async function watch(mode: "whole" | "deltas", afterRevision: number): Promise<Watcher | undefined> {
    const current = await load();
    if (!current) return undefined;
    const missed = mode === "deltas" ? await changesAfter(current, afterRevision) : undefined;
    const watcher = createWatcher({
      mode,
      missed,
      maxPendingBytes: options.maxPendingBytes,
      snapshot: (atRead) =>
        inTurn(async () => {
          const snapshot = await readSnapshot();
          if (!snapshot) throw new Error(`The run ${id} is gone.`);
          atRead();
          return snapshot;
        }),
    });
    if (current.ended) watcher.end();
    else watchers.add(watcher);
    return watcher;
  }

  /** Undefined when the log does not reach back that far: after a compaction, or for a revision that never was. */
  async function changesAfter(current: Loaded, revision: number): Promise<PublishedChange[] | undefined> {
    if (revision === current.revision) return [];
    if (revision < 1 || revision > current.revision) return undefined;
    const rows = await executions.log(id, revision);
    if (rows[0]?.revision !== revision + 1) return undefined;
    return rows.map((row) => ({
      revision: row.revision,
      delta: fromBinary(StatusDeltaSchema, row.delta),
      bytes: row.delta.length,
    }));
  }

  return {
    change: (propose) => inTurn(() => change(propose)),
    read: () => inTurn(readSnapshot),
    watch: (mode, afterRevision) => inTurn(() => watch(mode, afterRevision)),
    unwatch: (watcher) => void watchers.delete(watcher),
    endWatchers: (error) => {
      for (const watcher of watchers) watcher.end(error);
    },
    get ended() {
      return loaded?.ended ?? false;
    },
  };
}

function summaryOf({ phase, error, startedAt, completedAt }: AgentExecutionStatus): ExecutionSummary {
  return { phase, error, startedAt, completedAt };
}

function difference(before: ExecutionSummary, after: ExecutionSummary): Partial<ExecutionSummary> {
  const changed = Object.entries(after).filter(([key, value]) => before[key as keyof ExecutionSummary] !== value);
  return Object.fromEntries(changed);
}
