import { defineQuery, defineSignal, defineUpdate } from "@temporalio/workflow";
import type { QueryDefinition, SignalDefinition, UpdateDefinition } from "@temporalio/common";
import type { InboxItem } from "@stigmer/protos/runner/v1";
import type { SandboxType } from "@stigmer/protos/session/v1";
import { SIGNAL_NAMES } from "../contract.ts";
import type { Standing } from "../engine.ts";
import type { SearchAttributeName } from "./search-attributes.ts";

// What the workflow, whoever starts it and the runner's worker say to each other. Messages of ours travel as
// `json/protobuf`, all else as `json/plain` (payload-converter.ts).
//
//   workflow   InvokeAgentExecutionWorkflow(execution: AgentExecution, options?: InvokeOptions, known?: KnownRun)
//              → AgentExecutionStatus (also `stigmer/agent-execution/invoke`); id = the execution's id.
//   activities EnsureThread(sessionId, agentId) → threadId
//              ExecuteGraphton(execution: AgentExecution, threadId) → AgentExecutionStatus
//              The first is left out where the starter knows the thread.
//   workflow   CleanupSandboxWorkflow(task: CleanupSandboxTask, options?: InvokeOptions); id = the task's id.
//   activity   CleanupSandbox(sandboxId)
//
// Activities take exactly the arguments that a runner of any origin knows; what is ours beyond them goes in the header
// ATTEMPT_HEADER, which others don't look at (attempt-header.ts turns it into one more argument, on either side).
//
// How the workflow ends:
// - It returns the status that the run came to (phase, error, times, revision, usage; never messages): COMPLETED, FAILED,
//   CANCELLED. Also FAILED for a run that cannot be run at all (`Session ID is required for execution …`, FAILURE_TYPES.refused).
// - It fails with an ApplicationFailure of type FAILURE_TYPES.exhausted when all attempts were lost; the message is the one
//   for the run's status.
// - Cancelled by signal, by update or by Temporal's own cancel request, it returns CANCELLED with the reason as `error`.

/** Type under which a deleted session's sandbox is freed. */
export const CLEANUP_SANDBOX_WORKFLOW = "CleanupSandboxWorkflow";

/** How to run an execution. Second argument of the workflow; whoever knows nothing of it leaves it out. */
export interface InvokeOptions {
  /** Where runners listen. Default `agent_execution_runner`. */
  readonly runnerTaskQueue?: string;
  /** Silence after which an attempt's runner counts as lost, in milliseconds. Default 15 000. Runners speak three times as often. */
  readonly heartbeatTimeoutMs?: number;
  /** How often a run is tried without getting ahead before it is given up. Default 10. Attempts that were handed back in order are not counted. */
  readonly maxAttempts?: number;
  /** Wait after the first failed attempt, in milliseconds; doubles with each further one, up to 30 s. Default 500. A lost runner's run waits for nothing. */
  readonly retryDelayMs?: number;
  /** Those of our search attributes that the namespace has. Default none: an unknown one would fail the workflow's every step. */
  readonly searchAttributes?: readonly SearchAttributeName[];
}

/** What is known of a run when its history begins. Third argument of the workflow; whoever knows nothing leaves it out. */
export interface KnownRun {
  /** The session's thread. Default: a runner is asked, which costs as much as the activity that does the work. */
  readonly threadId?: string;
}

/** The header of an activity, besides its arguments: `json/plain` of {@link AttemptHeader}. */
export const ATTEMPT_HEADER = "stigmer-attempt";

/** What an activity learns about the attempt that it is. The third argument of ExecuteGraphton, as the worker sees it. */
export interface AttemptContext {
  /** 1 for the first. Attempts that a draining or pausing runner handed back are not counted. */
  readonly attempt: number;
  /** What was sent straight to the workflow before this attempt, oldest first. What goes through the server is in its own inbox. */
  readonly inbox: readonly InboxItem[];
}

/** What CleanupSandbox learns besides the sandbox's id, as the worker sees it: its second argument. Empty when a foreign workflow calls. */
export interface CleanupContext {
  readonly attempt: number;
  readonly sessionId: string;
  readonly workspaceDir: string;
  readonly sandboxType: SandboxType;
}

/**
 * Signals. All are idempotent: the first reason of a cancel stays, that of a pause until it is resumed; an item whose id was
 * seen changes nothing. A signal to a run that is over is refused by Temporal itself.
 *
 * A pause holds the run between attempts; the attempt under way learns of it from the server (`checkExecution`), as it does of
 * messages and approvals. What comes by `message` and `resolveApproval` is kept and handed to the next attempt; a signal
 * above the limits below is dropped with a line in the log (an update is refused): what has to arrive goes through the server.
 */
export const SIGNALS: {
  readonly cancel: SignalDefinition<[reason: string]>;
  readonly pause: SignalDefinition<[reason: string]>;
  readonly resume: SignalDefinition<[]>;
  /** An InboxItem with a message, as `json/protobuf` or as plain JSON of the same form. */
  readonly message: SignalDefinition<[item: InboxItem]>;
  /** An InboxItem with an approval. */
  readonly resolveApproval: SignalDefinition<[item: InboxItem]>;
} = {
  cancel: defineSignal(SIGNAL_NAMES.cancel),
  pause: defineSignal(SIGNAL_NAMES.pause),
  resume: defineSignal(SIGNAL_NAMES.resume),
  message: defineSignal(SIGNAL_NAMES.message),
  resolveApproval: defineSignal(SIGNAL_NAMES.resolveApproval),
};

/**
 * The same as updates, for who wants an answer: where the run stood when it was asked. Refused with one line
 * (ApplicationFailure) when the run is over or the argument is no good.
 *
 * @internal the server keeps its orders in its own store and signals; this is how tests of ours speak to the workflow.
 */
export const UPDATES: {
  readonly cancel: UpdateDefinition<Standing, [reason: string]>;
  readonly pause: UpdateDefinition<Standing, [reason: string]>;
  readonly resume: UpdateDefinition<Standing, []>;
  readonly message: UpdateDefinition<Standing, [item: InboxItem]>;
  readonly resolveApproval: UpdateDefinition<Standing, [item: InboxItem]>;
} = {
  cancel: defineUpdate(SIGNAL_NAMES.cancel),
  pause: defineUpdate(SIGNAL_NAMES.pause),
  resume: defineUpdate(SIGNAL_NAMES.resume),
  message: defineUpdate(SIGNAL_NAMES.message),
  resolveApproval: defineUpdate(SIGNAL_NAMES.resolveApproval),
};

/** Largest serialized size of one item that the workflow takes, in bytes. */
export const MAX_ITEM_BYTES: number = 256 * 1024;
/** Largest serialized size of all items together. Each attempt carries them, and a payload of Temporal's ends at 2 MiB. */
export const MAX_INBOX_BYTES: number = 1024 * 1024;
/** Largest number of items. */
export const MAX_INBOX_ITEMS = 1_000;
/** Longest reason that is kept, in characters; the rest is cut. */
export const MAX_REASON_LENGTH = 4_096;

/** Answers a {@link RunState}. */
export const STATE_QUERY: QueryDefinition<RunState> = defineQuery("state");

/** Where a run stands in its workflow. */
export interface RunState {
  readonly executionId: string;
  /** `waiting` between attempts, `running` while a runner has it (or is awaited), `paused` at rest, `over` when the end is near. */
  readonly standing: "waiting" | "running" | "paused" | "over";
  /** Of the attempt under way or the last one; 0 before the first. */
  readonly attempt: number;
  readonly threadId?: string;
  /** Why it is to be cancelled. */
  readonly cancelReason?: string;
  /** Why it rests, or is to rest as soon as the attempt under way does. */
  readonly pause?: { readonly reason: string; readonly itself: boolean };
  /** Why the last attempt did not end it. */
  readonly lastFailure?: string;
  /** How many items were sent straight to the workflow. */
  readonly inboxItems: number;
}
