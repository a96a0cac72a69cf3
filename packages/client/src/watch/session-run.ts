import type { AgentExecution } from "@stigmer/protos/agentexecution/v1";
import { isTerminal } from "@stigmer/status";
import type { ExecutionUpdate, FollowedRun, Resync } from "./followed-run.ts";
import type { ReconnectOptions } from "./reconnecting.ts";

export interface WatchSessionOptions extends ReconnectOptions {
  /** Called when the picture of a run turned out wrong and is fetched anew. */
  readonly onResync?: (resync: Resync) => void;
  /** Milliseconds between two looks for new runs, on a server that can't tell of them by itself. Default 2,000. */
  readonly pollEveryMs?: number;
}

/** One step of a session as its watcher sees it. */
export type SessionUpdate =
  | ({
      readonly kind: "run";
      readonly executionId: string;
      /** What the run was asked. How it stands now is in `status`. */
      readonly execution: AgentExecution;
    } & ExecutionUpdate)
  /** The run is gone. */
  | { readonly kind: "removed"; readonly executionId: string }
  /** Every run that there was at the beginning has been told. Comes once. */
  | { readonly kind: "caught-up" };

/** A run of the session and the watcher's picture of it. */
export interface SessionRun {
  readonly execution: AgentExecution;
  readonly followed: FollowedRun;
}

/** Whether nothing more will come of the run. */
export function hasEnded({ followed }: SessionRun): boolean {
  return followed.fold !== undefined && isTerminal(followed.fold.status.phase);
}
