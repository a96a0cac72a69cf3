import type { PagePosition } from "./resource-store.ts";

/** A run that has ended. */
export interface FinishedRun extends PagePosition {
  /** RFC 3339, or "". */
  readonly completedAt: string;
}

/** What finds things that are old. Times in milliseconds since 1970. */
export interface RetentionStore {
  /** Ended runs that were made before a time, oldest first. */
  finished(query: {
    readonly before: number;
    readonly after?: PagePosition;
    readonly limit: number;
  }): Promise<FinishedRun[]>;
  /** The ids of sessions that were made, and changed last, before a time, and have no run. */
  emptySessions(query: { readonly before: number; readonly limit: number }): Promise<string[]>;
  /** Forgets the tasks that have cleaned up after sessions, when they were made before a time. Answers how many. */
  forgetCleanups(query: { readonly before: number; readonly limit: number }): Promise<number>;
  /** Forgets entries of the audit log that were made before a time, oldest first. Answers how many. */
  forgetAudit(query: { readonly before: number; readonly limit: number }): Promise<number>;
}
