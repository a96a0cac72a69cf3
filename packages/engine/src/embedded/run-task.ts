import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { type AgentExecution, AgentExecutionStatusSchema, ExecutionPhase } from "@stigmer/protos/agentexecution/v1";
import { type CompleteLeaseRequestSchema, type Lease, ReleaseHold } from "@stigmer/protos/runner/v1";
import type { Activities, ActivityContext } from "../contract.ts";
import { ActivityStop } from "../errors.ts";

export type LeaseOutcome = NonNullable<MessageInitShape<typeof CompleteLeaseRequestSchema>["outcome"]>;

/** How work under a lease came to its end. */
export type TaskEnd =
  | { readonly kind: "ended"; readonly outcome: LeaseOutcome; readonly error?: unknown }
  /** Stopped before its end, for the next runner to go on. */
  | { readonly kind: "handed-back" }
  /** At rest until somebody resumes it. */
  | { readonly kind: "rested"; readonly hold: ReleaseHold; readonly reason: string }
  /** Stopped because it is somebody else's. */
  | { readonly kind: "lost" };

/** The workflow of each kind of task, as far as it runs in a runner. Never rejects. */
export async function runTask(lease: Lease, activities: Activities, context: ActivityContext): Promise<TaskEnd> {
  try {
    context.signal.throwIfAborted();
    return { kind: "ended", outcome: await runActivities(lease, activities, context) };
  } catch (error) {
    return endOf(error, context);
  }
}

async function runActivities(lease: Lease, activities: Activities, context: ActivityContext): Promise<LeaseOutcome> {
  switch (lease.task.case) {
    case "agentExecution": {
      const { execution, parts } = lease.task.value;
      if (!execution) return failure(`The task ${lease.taskId} carries no execution.`, { retryable: false });
      return runAgentExecution(execution, activities, { ...context, parts });
    }
    case "cleanupSandbox": {
      const { sandboxId, sessionId, workspaceDir, sandboxType } = lease.task.value;
      await activities.cleanupSandbox({ sandboxId, sessionId, workspaceDir, sandboxType }, context);
      return { case: "done", value: {} };
    }
    case undefined:
      return failure("This runner is too old for this kind of task; upgrade it to the server's version.", {
        retryable: true,
      });
  }
}

async function runAgentExecution(
  execution: AgentExecution,
  activities: Activities,
  context: ActivityContext,
): Promise<LeaseOutcome> {
  const id = execution.metadata?.id ?? "";
  const sessionId = execution.spec?.sessionId ?? "";
  if (sessionId === "") return failure(`Session ID is required for execution ${id}`, { retryable: false });
  const { phase, error, startedAt, completedAt, revision, usage } = await activities.executeGraphton(
    execution,
    undefined,
    context,
  );
  // The rest went by `patchStatus`; a long run's messages would make this call large for nothing.
  return { case: "status", value: { phase, error, startedAt, completedAt, revision, usage } };
}

function endOf(error: unknown, { signal, pause }: ActivityContext): TaskEnd {
  // What an activity throws once it was told to stop is mostly the stop's echo (`AbortError`), not a fault.
  const told = ActivityStop.is(signal.reason) ? signal.reason : undefined;
  const stop = ActivityStop.is(error) ? error : told;
  // Whatever the activity makes of it: nothing may be reported any more.
  if (stop?.kind === "lease-lost" || told?.kind === "lease-lost") return { kind: "lost" };
  if (stop?.kind === "draining") return { kind: "handed-back" };
  if (stop?.kind === "paused") {
    // Asked for or not, it may have come to rest for a question of its own, which a resume from before does not answer.
    const hold = stop === pause.reason ? ReleaseHold.PAUSE_REQUESTED : ReleaseHold.PAUSED_ITSELF;
    return { kind: "rested", hold, reason: stop.message };
  }
  if (stop) {
    const completedAt = new Date().toISOString();
    const status = { phase: ExecutionPhase.EXECUTION_CANCELLED, error: stop.message, completedAt };
    const outcome: LeaseOutcome = { case: "status", value: create(AgentExecutionStatusSchema, status) };
    return ActivityStop.is(error) ? { kind: "ended", outcome } : { kind: "ended", outcome, error };
  }
  const message = error instanceof Error ? error.message : String(error);
  return { kind: "ended", outcome: failure(message, { retryable: true }), error };
}

function failure(message: string, { retryable }: { readonly retryable: boolean }): LeaseOutcome {
  return { case: "failure", value: { message, retryable } };
}
