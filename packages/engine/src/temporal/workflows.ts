import { create, fromBinary, isMessage } from "@bufbuild/protobuf";
import {
  type AgentExecution,
  AgentExecutionSchema,
  type AgentExecutionStatus,
  AgentExecutionSpecSchema,
  AgentExecutionStatusSchema,
  ExecutionPhase,
} from "@stigmer/protos/agentexecution/v1";
import { CleanupSandboxTaskSchema } from "@stigmer/protos/runner/v1";
import {
  type Client,
  WorkflowExecutionAlreadyStartedError,
  WorkflowFailedError,
  WorkflowNotFoundError,
} from "@temporalio/client";
import { ApplicationFailure, CancelledFailure, TerminatedFailure, TimeoutFailure } from "@temporalio/common";
import { INVOKE_AGENT_EXECUTION_WORKFLOW } from "../contract.ts";
import type { QueuedTask } from "../embedded/queue-store.ts";
import { FAILURE_TYPES } from "./failures.ts";
import { errorCode, errorText, GRPC } from "./grpc-errors.ts";
import type { LongPolls } from "./long-polls.ts";
import { payloadConverter } from "./payload-converter.ts";
import {
  CLEANUP_SANDBOX_WORKFLOW,
  type InvokeOptions,
  type KnownRun,
  SIGNALS,
  STATE_QUERY,
} from "./workflow-contract.ts";

/** How a task's workflow ended. */
export type WorkflowEnd =
  | { readonly kind: "status"; readonly status: AgentExecutionStatus }
  /** All attempts were lost. */
  | { readonly kind: "exhausted"; readonly message: string };

/** What the engine wants of Temporal, task by task. Calls that found nobody fail with an error that `isAway` knows. */
export interface Workflows {
  /**
   * Starts a task's workflow, unless it was started before, of a run with its session's thread where that is known. Answers how it ended when it can't be started at all (too large, say),
   * else undefined.
   */
  start(task: QueuedTask, run?: StartedRun): Promise<WorkflowEnd | undefined>;
  /** Waits for the end. Undefined when there is no such workflow. */
  end(task: Pick<QueuedTask, "id" | "kind">, signal: AbortSignal): Promise<WorkflowEnd | undefined>;
  /** Answers whether there was a workflow under way to be told. */
  tell(taskId: string, order: WorkflowOrder): Promise<boolean>;
  /** Whether the workflow rests, or will as soon as its attempt does. */
  rests(taskId: string): Promise<boolean>;
  /** Completes the activity of another workflow that waits for this execution, or fails it. One that nobody waits for any more is done. */
  callBack(execution: AgentExecution): Promise<void>;
}

export interface StartedRun {
  readonly execution: AgentExecution;
  readonly threadId: string | undefined;
}

export type WorkflowOrder =
  | { readonly kind: "cancel"; readonly reason: string }
  | { readonly kind: "pause"; readonly reason: string }
  | { readonly kind: "resume" };

export interface WorkflowsOptions {
  readonly client: Client;
  readonly workflowTaskQueue: string;
  readonly invokeOptions: InvokeOptions;
  readonly longPolls: LongPolls;
  readonly now: () => number;
}

const CALL_WITHIN_MS = 10_000;

export function createWorkflows(options: WorkflowsOptions): Workflows {
  const { client, workflowTaskQueue, invokeOptions, longPolls, now } = options;
  const { connection } = client;
  const call = <T>(work: () => Promise<T>): Promise<T> => connection.withDeadline(Date.now() + CALL_WITHIN_MS, work);
  const failed = (error: string): WorkflowEnd => statusEnd(ExecutionPhase.EXECUTION_FAILED, error);
  const statusEnd = (phase: ExecutionPhase, error: string): WorkflowEnd => {
    const completedAt = new Date(now()).toISOString();
    return { kind: "status", status: create(AgentExecutionStatusSchema, { phase, error, completedAt }) };
  };

  /** How a workflow failed, in terms of its run. */
  function endOf(taskId: string, failure: WorkflowFailedError): WorkflowEnd {
    const { cause } = failure;
    if (cause instanceof ApplicationFailure && cause.type === FAILURE_TYPES.exhausted) {
      return { kind: "exhausted", message: cause.message };
    }
    if (cause instanceof CancelledFailure) return statusEnd(ExecutionPhase.EXECUTION_CANCELLED, cause.message);
    if (cause instanceof TerminatedFailure) {
      const reason = cause.message || "no reason was given";
      return statusEnd(ExecutionPhase.EXECUTION_TERMINATED, `The workflow was terminated in Temporal: ${reason}`);
    }
    if (cause instanceof TimeoutFailure) {
      return failed(`The workflow of ${taskId} ran out of the time that Temporal gives it.`);
    }
    return failed(`The workflow of ${taskId} failed: ${errorText(cause ?? failure)}`);
  }

  return {
    start: async (task, run) => {
      const [type, argument] =
        task.kind === "execution"
          ? ([INVOKE_AGENT_EXECUTION_WORKFLOW, run && asCreated(run.execution)] as const)
          : ([CLEANUP_SANDBOX_WORKFLOW, fromBinary(CleanupSandboxTaskSchema, task.payload)] as const);
      try {
        await call(() =>
          client.workflow.start(type, {
            workflowId: task.id,
            taskQueue: workflowTaskQueue,
            args: [argument, invokeOptions, ...knownOf(run)],
            workflowIdReusePolicy: "REJECT_DUPLICATE",
          }),
        );
      } catch (error) {
        if (error instanceof WorkflowExecutionAlreadyStartedError) return undefined;
        if (errorCode(error) !== GRPC.invalidArgument) throw error;
        return failed(`The execution ${task.id} can't be started in Temporal: ${errorText(error)}`);
      }
      return undefined;
    },

    end: ({ id: taskId, kind }, signal) =>
      longPolls.take(signal, async (turn) => {
        try {
          const result: unknown = await connection.withAbortSignal(turn, () =>
            client.workflow.getHandle(taskId).result(),
          );
          if (isMessage(result, AgentExecutionStatusSchema)) return { kind: "status", status: result };
          // A clean-up has nothing to tell but that it is done.
          if (kind !== "execution") return statusEnd(ExecutionPhase.EXECUTION_COMPLETED, "");
          return failed("The workflow ended without a status.");
        } catch (error) {
          if (error instanceof WorkflowFailedError) return endOf(taskId, error);
          if (error instanceof WorkflowNotFoundError) return undefined;
          throw error;
        }
      }),

    tell: async (taskId, order) => {
      const handle = client.workflow.getHandle(taskId);
      try {
        if (order.kind === "resume") await call(() => handle.signal(SIGNALS.resume));
        else await call(() => handle.signal(SIGNALS[order.kind], order.reason));
        return true;
      } catch (error) {
        if (error instanceof WorkflowNotFoundError) return false;
        throw error;
      }
    },

    rests: async (taskId) => {
      const state = await call(() => client.workflow.getHandle(taskId).query(STATE_QUERY));
      return state.pause !== undefined;
    },

    callBack: async (execution) => {
      // What a history takes has a limit; whoever waits wants to know the end first of all.
      if (await answered(execution)) return;
      await answered(withoutWords(execution));
    },
  };

  /** Answers false when the execution is too large to be sent. */
  async function answered(execution: AgentExecution): Promise<boolean> {
    const taskToken = execution.spec?.callbackToken ?? new Uint8Array();
    const { phase, error } = execution.status ?? { phase: ExecutionPhase.EXECUTION_PHASE_UNSPECIFIED, error: "" };
    const { namespace, identity } = client.options;
    const payloads = { payloads: [payloadConverter.toPayload(withoutToken(execution)) ?? {}] };
    const request = { namespace, identity, taskToken };
    try {
      if (phase === ExecutionPhase.EXECUTION_COMPLETED) {
        await call(() => client.workflowService.respondActivityTaskCompleted({ ...request, result: payloads }));
      } else {
        const type = ExecutionPhase[phase].replace("EXECUTION_", "").toLowerCase();
        const applicationFailureInfo = { type: `stigmer.execution.${type}`, nonRetryable: true, details: payloads };
        const message = error || `The execution ended as ${type}.`;
        const failure = { source: "Stigmer", message, applicationFailureInfo };
        await call(() => client.workflowService.respondActivityTaskFailed({ ...request, failure }));
      }
      return true;
    } catch (cause) {
      const code = errorCode(cause);
      // Timed out, or its workflow is over; or a token that is none.
      if (code === GRPC.notFound) return true;
      if (code === GRPC.invalidArgument) return !/size|limit/i.test(errorText(cause));
      throw cause;
    }
  }
}

function knownOf(run: StartedRun | undefined): readonly KnownRun[] {
  return run?.threadId ? [{ threadId: run.threadId }] : [];
}

/** An execution as it was created: its status is the server's, and would only be old. */
function asCreated(execution: AgentExecution): AgentExecution {
  return withoutToken(create(AgentExecutionSchema, { ...execution, status: undefined }));
}

/** A callback token lets its holder answer for us: nobody else needs it. */
function withoutToken(execution: AgentExecution): AgentExecution {
  if (!execution.spec) return execution;
  const spec = create(AgentExecutionSpecSchema, { ...execution.spec, callbackToken: new Uint8Array() });
  return create(AgentExecutionSchema, { ...execution, spec });
}

function withoutWords(execution: AgentExecution): AgentExecution {
  const { phase, error, startedAt, completedAt, revision, usage } = execution.status ?? {};
  const status = create(AgentExecutionStatusSchema, { phase, error, startedAt, completedAt, revision, usage });
  return create(AgentExecutionSchema, { ...execution, status });
}
