import type { AgentExecution, AgentExecutionStatus } from "@stigmer/protos/agentexecution/v1";
import type { InboxItem, RunParts } from "@stigmer/protos/runner/v1";
import type { SandboxType } from "@stigmer/protos/session/v1";

// The names that server and runner must agree on, whatever engine stands between them.

/** The workflow's name in the ecosystem; ours is registered under it and under {@link INVOKE_AGENT_EXECUTION_WORKFLOW}. */
export const INVOKE_AGENT_EXECUTION = "stigmer/agent-execution/invoke";
export const INVOKE_AGENT_EXECUTION_WORKFLOW = "InvokeAgentExecutionWorkflow";

/** Activity names as registered with a workflow engine. */
export const ACTIVITY_NAMES: {
  readonly ensureThread: "EnsureThread";
  readonly executeGraphton: "ExecuteGraphton";
  readonly cleanupSandbox: "CleanupSandbox";
} = { ensureThread: "EnsureThread", executeGraphton: "ExecuteGraphton", cleanupSandbox: "CleanupSandbox" };

/** Signals that a running workflow understands. */
export const SIGNAL_NAMES = {
  cancel: "cancel",
  pause: "pause",
  resume: "resume",
  resolveApproval: "resolveApproval",
  message: "message",
} as const;

/** Where the server's workflow worker listens, unless configured otherwise. */
export const DEFAULT_WORKFLOW_QUEUE = "agent_execution_stigmer";
/** Where runners listen for activities, unless configured otherwise. */
export const DEFAULT_ACTIVITY_QUEUE = "agent_execution_runner";

/** What an activity is told about the attempt that it is. */
export interface ActivityContext {
  /**
   * Epoch of this claim, counted up by the server only. Goes with every status write and tool-call intent. 0: the server
   * knows no fences (an older one).
   */
  readonly fence: number;
  /**
   * 1 for the first attempt, counted from the one that got ahead last, which is 1 again. An attempt that was handed back by a draining
   * runner is not counted.
   */
  readonly attempt: number;
  /**
   * To be called when something is done that no later attempt has to do again. What fails or loses its runner again and again without
   * that is given up; what gets ahead in between is not.
   */
  readonly progressed: () => void;
  /** Aborted when the activity has to stop; `signal.reason` is then an {@link ActivityStop}. */
  readonly signal: AbortSignal;
  /**
   * Aborted when the activity is to come to rest; the reason is an {@link ActivityStop}. Nothing is to be interrupted for it:
   * the activity rests where nothing is half done, and throws that reason. `paused`: somebody asked for it, and PAUSED is
   * stored first. `draining`: the runner is about to leave; the phase stays. It may also throw a `paused` of its own, to
   * pause by itself.
   */
  readonly pause: AbortSignal;
  readonly inbox: Inbox;
  /**
   * Of a run: what it is made from, where that came with it; then the execution given is as the server has it, with its status. Undefined:
   * to be asked for.
   */
  readonly parts?: RunParts | undefined;
  /** Where the run's last change may end the task with it (`RunEntry.ends_lease_of`). Undefined: only what the activity returns does. */
  readonly ending?: TaskEnding | undefined;
}

/** How a task ends together with its run. */
export interface TaskEnding {
  /** Who holds the task. */
  readonly runnerId: string;
  /** To be called when the server has answered that it ended: then nothing more is reported for it. */
  ended(): void;
}

/** What people sent to an execution since it was created. Delivered at least once: remember the ids of what was used. */
export interface Inbox {
  /** Everything so far, oldest first; also what an earlier attempt had already. */
  readonly items: readonly InboxItem[];
  /** Calls the listener after each new item. Answers the function that ends it. */
  subscribe(listener: () => void): () => void;
}

/** What a finished session leaves behind. An empty string means: there is none. */
export interface CleanupSandboxInput {
  readonly sandboxId: string;
  readonly sessionId: string;
  readonly workspaceDir: string;
  /** The kind that the session was made with. */
  readonly sandboxType: SandboxType;
}

/**
 * What a runner can do. Each may run more than once for the same input (a lost runner), never twice at a time with a
 * current fence.
 */
export interface Activities {
  /** The id of the session's conversation thread, made on first use. Same session, same thread. */
  ensureThread(sessionId: string, agentId: string, context: ActivityContext): Promise<string>;
  /**
   * Runs one turn of the agent and stores its status as it goes. Without a `threadId` the thread is the session's, as
   * `ensureThread` would name it: an engine leaves it out to save its runner a call.
   *
   * A run that fails is stored as FAILED and returned as such. On the stop `cancelled` it stores CANCELLED and returns;
   * on `draining` and `lease-lost` it leaves the stored phase alone and rethrows the {@link ActivityStop}; at rest after
   * `pause` it stores PAUSED and throws the {@link ActivityStop} `paused`. Anything else thrown is a fault of the
   * infrastructure: the task is tried again.
   */
  executeGraphton(
    execution: AgentExecution,
    threadId: string | undefined,
    context: ActivityContext,
  ): Promise<AgentExecutionStatus>;
  /** Frees what a session used. Succeeds when there is nothing left to free. */
  cleanupSandbox(input: CleanupSandboxInput, context: ActivityContext): Promise<void>;
}

/** What runners and servers say to each other; raised when a partner of before could not go on. */
export const RUNNER_PROTOCOL = 1;
/** The oldest that is still understood. */
export const OLDEST_RUNNER_PROTOCOL = 1;
