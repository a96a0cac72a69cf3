import type { NewTask } from "@stigmer/engine/embedded";

export interface TaskState {
  readonly state: "waiting" | "leased" | "done";
  /** Raised by each lease; 0 before the first. */
  readonly fence: number;
  /** Names the claim of this lease; empty before the first. */
  readonly claimId: string;
}

/** The runs of an organization that have not ended, by where their tasks are. */
export interface OrganizationRuns {
  /** Empty: all further organizations together. */
  readonly org: string;
  readonly waiting: number;
  /** Of those that wait, the ones that rest until somebody resumes them, which `waiting` leaves out. */
  readonly paused: number;
  readonly leased: number;
}

/** The services' side of the queue. The engine's side is `QueueStore`. */
export interface TaskOutbox {
  /** Stores the task at the end of its queue. A task id that is there already changes nothing. */
  enqueue(task: NewTask): Promise<void>;
  /** How many runnable tasks of an organization wait in a queue; counts no further than `upTo`. */
  countWaiting(of: { readonly queue: string; readonly org: string; readonly upTo: number }): Promise<number>;
  /** The organizations that have the most runs open, the largest first and no more than `most`, and in one row what all others have. */
  runsByOrganization(options: { readonly most: number }): Promise<OrganizationRuns[]>;
  state(id: string): Promise<TaskState | undefined>;
  /** Whether somebody has a task of the session, be it of a run whose end is stored already. */
  holdsLease(sessionId: string): Promise<boolean>;
}
