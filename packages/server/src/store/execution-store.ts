import type { PageQuery } from "./resource-store.ts";

/** The kind of resources that end with the run that they belong to. */
export const EXECUTION_CONTEXT = "ExecutionContext";

/** What of a run's status is also kept in columns, so that lists need not read the status itself. */
export interface ExecutionSummary {
  /** Number of `ExecutionPhase`. */
  readonly phase: number;
  readonly error: string;
  /** RFC 3339, or "". */
  readonly startedAt: string;
  readonly completedAt: string;
}

export interface ExecutionRecord extends ExecutionSummary {
  readonly id: string;
  readonly org: string;
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly tags: readonly string[];
  readonly sessionId: string;
  readonly agentId: string;
  /** Milliseconds since 1970. */
  readonly createdAt: number;
  /** Counts the changes of the status; the status at creation is 1. */
  readonly revision: number;
  /** Who wrote last, and which of its changes: a repeated one is known by it. */
  readonly lastFence: number;
  readonly lastSequence: number;
  /** Whether the run has ended. */
  readonly ended: boolean;
  /** The execution without its status as protobuf, secrets sealed. */
  readonly body: Uint8Array;
}

export type NewExecution = Omit<ExecutionRecord, "revision" | "lastFence" | "lastSequence" | "ended"> & {
  /** The status at creation, as protobuf. */
  readonly snapshot: Uint8Array;
};

export interface ExecutionFilter {
  readonly org?: string;
  readonly sessionId?: string;
  readonly agentId?: string;
  readonly phase?: number;
  /** All of them must be there. */
  readonly tags?: readonly string[];
  /** All of them must be there with this value. */
  readonly labels?: Readonly<Record<string, string>>;
  /** Only those that have not ended. */
  readonly live?: boolean;
}

/** One change of a run's status. */
export interface StatusAppend {
  readonly id: string;
  /** The revision that the change was made from. */
  readonly expectedRevision: number;
  /** Who writes; checked against the run's task. Undefined: the server itself. */
  readonly fence?: number;
  /** Counts a fence's changes from 1. Undefined: the change can't be recognised when it is repeated. */
  readonly sequence?: number;
  /** The change as protobuf `StatusDelta`. */
  readonly delta: Uint8Array;
  /** Columns that the change touches. */
  readonly summary?: Partial<ExecutionSummary>;
  /** The status after the change as protobuf; given, it replaces the log. */
  readonly snapshot?: Uint8Array;
  /** The change ends the run, whose contexts and tool calls go with it; `snapshot` must be given where the store keeps no logs. */
  readonly ends?: boolean;
  /** Lets the change amend a run that has ended; `snapshot` must be given. */
  readonly amends?: boolean;
  /** The change is true only while the run's task is there. Undefined: wherever it is. */
  readonly place?: TaskPlace;
  /**
   * The run rests by itself from then on, as its holder says: in the same step its task is at rest (`QueueStore`), since a holder
   * that dies now tells nobody else. With a `fence` only.
   */
  readonly rests?: boolean | undefined;
  /**
   * With `ends` and a `fence`: this runner's lease of the run's task ends in the same step, if it is that and the task's inbox is empty.
   * With something in it the task stays: what came too late for the run is looked for before its task is done.
   */
  readonly endsLeaseOf?: string | undefined;
  /**
   * Nobody goes on because of the change: it is shown of a run at work, which tells it anew should a power cut take it. A driver may
   * leave it to the next write to bring it to the disk, in order: a power cut takes the last of them, never one between others.
   * Default false.
   */
  readonly passing?: boolean | undefined;
  /** What the caller has just seen of the run, by which a driver may decide first: it need not be read again. */
  readonly known?: WriteState | undefined;
}

/**
 * Where a run's task is. `waiting`: for a runner. `resting`: for somebody to resume it. `held`: somebody has it. `ending`: it
 * waits to be ended, because it was cancelled. `over`: it is done, or there is none.
 */
export type TaskPlace = "waiting" | "resting" | "held" | "ending" | "over";

/** What decides whether a change of a run is taken. */
export interface WriteState {
  readonly revision: number;
  readonly phase: number;
  readonly ended: boolean;
  readonly lastFence: number;
  readonly lastSequence: number;
  /** The current fence of the run's task; 0 when no runner ever had it. */
  readonly taskFence: number;
  readonly taskPlace: TaskPlace;
}

/** Why somebody may write nothing for a run. */
export type HolderRefusal =
  | { readonly kind: "missing" }
  /** The fence is not that of the run's task. */
  | { readonly kind: "stale-fence"; readonly currentFence: number };

/**
 * The one rule about who may write for a run, be it a status or a tool call: the server itself (undefined), and whoever has
 * the task's present fence.
 */
export function holderRefusalOf(
  fence: number | undefined,
  state: Pick<WriteState, "taskFence"> | undefined,
): HolderRefusal | undefined {
  if (!state) return { kind: "missing" };
  if (fence === undefined || fence === state.taskFence) return undefined;
  return { kind: "stale-fence", currentFence: state.taskFence };
}

/** Why a change is not stored. */
export type AppendRefusal =
  /** The change is stored already. */
  | { readonly kind: "repeated"; readonly revision: number }
  /** Somebody else appended since `expectedRevision`. */
  | { readonly kind: "moved"; readonly revision: number }
  | { readonly kind: "ended"; readonly phase: number; readonly revision: number }
  /** Changes before this one are not there (any more): the last of its fence is `lastSequence`. */
  | { readonly kind: "gap"; readonly lastSequence: number }
  /** The run's task is not in the place that the change is about. */
  | { readonly kind: "elsewhere" }
  | HolderRefusal;

export type AppendResult =
  /** `leaseEnded`: with the run, as `endsLeaseOf` asked for; else absent. */
  { readonly kind: "appended"; readonly revision: number; readonly leaseEnded?: boolean } | AppendRefusal;

/**
 * The one rule by which every driver takes or refuses a change. A repeated change is recognised before the end of the
 * run, so that the last one can be repeated too. One that leaves some out is refused: a power cut took passing ones, or the database
 * was restored, and who wrote them knows more than is there. The run's next holder goes on from what is.
 */
export function refusalOf(
  change: Pick<StatusAppend, "expectedRevision" | "fence" | "sequence" | "amends" | "place">,
  state: WriteState | undefined,
): AppendRefusal | undefined {
  const { fence, sequence = 0 } = change;
  const refusal = holderRefusalOf(fence, state);
  if (refusal || !state) return refusal ?? { kind: "missing" };
  const { revision, phase } = state;
  if (sequence > 0 && fence === state.lastFence && sequence <= state.lastSequence)
    return { kind: "repeated", revision };
  if (state.ended && !change.amends) return { kind: "ended", phase, revision };
  const lastSequence = fence === state.lastFence ? state.lastSequence : 0;
  if (fence !== undefined && fence > 0 && sequence > lastSequence + 1) return { kind: "gap", lastSequence };
  if (change.place !== undefined && change.place !== state.taskPlace) return { kind: "elsewhere" };
  if (revision !== change.expectedRevision) return { kind: "moved", revision };
  return undefined;
}

export interface StatusSnapshot {
  readonly revision: number;
  /** `AgentExecutionStatus` as protobuf. */
  readonly status: Uint8Array;
}

export interface StatusLogRow {
  readonly revision: number;
  /** `StatusDelta` as protobuf. */
  readonly delta: Uint8Array;
}

/**
 * The runs. A run's contexts are the resources of kind `EXECUTION_CONTEXT` with the run as their parent: they hold its secrets,
 * so they go in the same step in which it ends or is deleted, by whatever path.
 */
export interface ExecutionStore {
  /**
   * Whether a run that has ended may keep its log. Not where a server of an earlier program may read the run, which looks at the
   * snapshot alone.
   */
  readonly keepsLogs: boolean;
  /** Throws `StoreError` `already-exists` when the id is taken. */
  insert(execution: NewExecution): Promise<void>;
  get(id: string): Promise<ExecutionRecord | undefined>;
  /** Newest first. */
  list(filter: ExecutionFilter, page: PageQuery): Promise<ExecutionRecord[]>;
  /** Counts no further than `limit`, so that the answer costs the same however many there are. */
  count(filter: ExecutionFilter, limit?: number): Promise<number>;
  /** Replaces metadata and spec; the status is not touched. */
  replaceBody(id: string, change: Pick<ExecutionRecord, "name" | "labels" | "tags" | "body">): Promise<void>;
  /** The revisions of those of the runs that exist, in one reading. */
  revisions(ids: readonly string[]): Promise<ReadonlyMap<string, number>>;
  /** What `refusalOf` decides by, read without waiting for writers: an answer that may be outdated by the time it is used. */
  writeState(id: string): Promise<WriteState | undefined>;
  /** Decides by `refusalOf`, then stores the change, in one step. */
  append(change: StatusAppend): Promise<AppendResult>;
  /** The status from which the log goes on. */
  snapshot(id: string): Promise<StatusSnapshot | undefined>;
  /** Runs that have not ended although no open task would end them, oldest first. */
  orphans(): Promise<string[]>;
  /** Runs under way whose task rests while their phase is none of `resting`, or waits while it is one, oldest first. */
  misplaced(resting: readonly [number, number]): Promise<string[]>;
  /** The log after a revision, oldest first; it begins after the snapshot's revision. */
  log(id: string, afterRevision: number): Promise<StatusLogRow[]>;
  /** Takes the run's log, ledger, contexts and task, with its inbox, along. False when there was none. */
  delete(id: string): Promise<boolean>;
}
