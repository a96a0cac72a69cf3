import { create } from "@bufbuild/protobuf";
import { type AgentExecution, AgentExecutionStatusSchema, ExecutionPhase } from "@stigmer/protos/agentexecution/v1";
import type { QueuedTask } from "../embedded/queue-store.ts";
import type { TemporalEngineSettings } from "./create-temporal-engine.ts";
import type { WorkflowEnd, Workflows } from "./workflows.ts";

/** Where the ends of tasks go: to the server, and to whoever waits for one. All of it stands repetition. */
export interface Ends {
  load(executionId: string): Promise<AgentExecution | undefined>;
  store(task: QueuedTask, end: WorkflowEnd): Promise<void>;
  /** Ends what could never be given to Temporal: cancelled while it waited, or out of attempts. */
  storeUndelivered(task: QueuedTask): Promise<void>;
  /** After the end is stored: tells the activity that waits for it, if there is one. */
  callBack(task: QueuedTask): Promise<void>;
}

export interface EndsOptions extends Pick<
  TemporalEngineSettings,
  "loadExecution" | "onFinished" | "onExhausted" | "logger" | "clock"
> {
  readonly workflows: Pick<Workflows, "callBack">;
}

export function createEnds(options: EndsOptions): Ends {
  const { loadExecution, onFinished, onExhausted, workflows, logger, clock } = options;
  return {
    load: loadExecution,

    store: async ({ id, kind }, end) => {
      if (kind === "execution") {
        if (end.kind === "exhausted") await onExhausted(id, end.message);
        else await onFinished({ executionId: id, fence: undefined, status: end.status });
        return;
      }
      const failure = end.kind === "exhausted" ? end.message : end.status.error;
      if (failure !== "") logger.error({ taskId: id, kind, failure }, "A task failed for good.");
    },

    storeUndelivered: async (task) => {
      const { id, kind, cancelReason, attempt, lastFailure } = task;
      if (kind !== "execution") {
        logger.error({ taskId: id, kind, failure: lastFailure }, "A task was given up.");
      } else if (cancelReason === undefined) {
        const message = `The execution ${id} was given up after ${String(attempt)} attempts. The last one: ${lastFailure}`;
        await onExhausted(id, message);
      } else {
        const completedAt = new Date(clock.now()).toISOString();
        const phase = ExecutionPhase.EXECUTION_CANCELLED;
        const status = create(AgentExecutionStatusSchema, { phase, error: cancelReason, completedAt });
        await onFinished({ executionId: id, fence: undefined, status });
      }
    },

    callBack: async ({ id, kind }) => {
      if (kind !== "execution") return;
      const execution = await loadExecution(id);
      if (!execution?.spec || execution.spec.callbackToken.length === 0) return;
      await workflows.callBack(execution);
      logger.debug({ taskId: id }, "The activity that waits for an execution was told its end.");
    },
  };
}
