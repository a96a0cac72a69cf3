import type { NewTask } from "@stigmer/engine/embedded";

export interface TaskState {
  readonly state: "waiting" | "leased" | "done";
  /** Raised by each lease; 0 before the first. */
  readonly fence: number;
  /** Names the claim of this lease; empty before the first. */
  readonly claimId: string;
}

/** The services' side of the queue. The engine's side is `QueueStore`. */
export interface TaskOutbox {
  /** Stores the task at the end of its queue. A task id that is there already changes nothing. */
  enqueue(task: NewTask): Promise<void>;
  /** How many runnable tasks of an organization wait in a queue; counts no further than `upTo`. */
  countWaiting(of: { readonly queue: string; readonly org: string; readonly upTo: number }): Promise<number>;
  state(id: string): Promise<TaskState | undefined>;
}
