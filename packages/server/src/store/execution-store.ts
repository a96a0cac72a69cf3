import type { PageQuery } from "./resource-store.ts";

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
  /** Whether the run has ended: its log is compacted into the snapshot. */
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
  /** The status after the change, which ends the run: it replaces the log. */
  readonly finalSnapshot?: Uint8Array;
  /** Lets the change amend a run that has ended; `finalSnapshot` is then needed. */
  readonly amend?: boolean;
}

export type AppendResult =
  | { readonly kind: "appended"; readonly revision: number }
  /** The change is stored already. */
  | { readonly kind: "repeated"; readonly revision: number }
  /** Somebody else appended since `expectedRevision`. */
  | { readonly kind: "moved"; readonly revision: number }
  | { readonly kind: "stale-fence"; readonly currentFence: number }
  | { readonly kind: "ended"; readonly phase: number; readonly revision: number }
  | { readonly kind: "missing" };

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

export interface ExecutionStore {
  /** Throws `StoreError` `already-exists` when the id is taken. */
  insert(execution: NewExecution): Promise<void>;
  get(id: string): Promise<ExecutionRecord | undefined>;
  /** Newest first. */
  list(filter: ExecutionFilter, page: PageQuery): Promise<ExecutionRecord[]>;
  count(filter: ExecutionFilter): Promise<number>;
  /** Replaces metadata and spec; the status is not touched. */
  replaceBody(id: string, change: Pick<ExecutionRecord, "name" | "tags" | "body">): Promise<void>;
  /** Checks fence, sequence and end, then stores the change, in one step. */
  append(change: StatusAppend): Promise<AppendResult>;
  snapshot(id: string): Promise<StatusSnapshot | undefined>;
  /** The log after a revision, oldest first. */
  log(id: string, afterRevision: number): Promise<StatusLogRow[]>;
  /** Takes the run's log and task along. False when there was none. */
  delete(id: string): Promise<boolean>;
}
