/** A piece of work for a runner, written in the transaction that makes it necessary. */
export interface NewTask {
  /** A run's task has the execution's id, so that twice is once. */
  readonly id: string;
  readonly kind: "execution" | "cleanup-sandbox";
  /** The queue that runners take it from. */
  readonly queue: string;
  /** Tasks of one session run one after the other. */
  readonly sessionId: string;
  /** What the kind needs beyond the id, as protobuf or JSON; empty for a run. */
  readonly payload: Uint8Array;
  /** Milliseconds since 1970. */
  readonly createdAt: number;
}

export interface TaskState {
  readonly state: "waiting" | "leased" | "done";
  /** Raised by each lease; 0 before the first. */
  readonly fence: number;
  /** The runner that holds it, or "". */
  readonly runnerId: string;
}

/** The services' side of the queue. The engine's side is `QueueStore`. */
export interface TaskOutbox {
  /** A task that is there already stays as it is. */
  enqueue(task: NewTask): Promise<void>;
  state(id: string): Promise<TaskState | undefined>;
  delete(id: string): Promise<void>;
}
