import type { AgentExecutionStatus } from "@stigmer/protos/agentexecution/v1";

/** The one place that changes, and shows, the status of runs. */
export interface RunStatuses {
  /**
   * A run's task has ended with this status, from the runner that held `fence` (undefined: nobody holds it any more).
   * Only phase, error and times are looked at. Applied unless the run has ended already; a status that is not terminal
   * makes the run FAILED, so that no run stays without anyone to work on it.
   */
  finish(executionId: string, fence: number | undefined, status: AgentExecutionStatus | undefined): Promise<void>;
  /** Ends the run as FAILED with this text, unless it has ended already. */
  fail(executionId: string, message: string): Promise<void>;
  /** Ends all watchers. */
  close(): Promise<void>;
}
