import { fromBinary } from "@bufbuild/protobuf";
import type { QueueStore } from "@stigmer/engine/embedded";
import { AgentExecutionSchema } from "@stigmer/protos/agentexecution/v1";
import { contextFrom, isTraced, startSpan } from "@stigmer/telemetry";
import type { Store } from "../store/store.ts";

export interface TraceQueueOptions {
  readonly queue: QueueStore;
  readonly executions: Pick<Store["executions"], "get">;
  readonly engine: "embedded" | "temporal";
}

/** The queue as an engine sees it, with a span for the time that each run has waited until it was first taken. */
export function traceQueue({ queue, executions, engine }: TraceQueueOptions): QueueStore {
  return {
    ...queue,
    lease: async (options) => {
      const task = await queue.lease(options);
      if (task?.kind !== "execution" || task.fence !== 1 || !isTraced()) return task;
      const record = await executions.get(task.id);
      const traceparent = record && fromBinary(AgentExecutionSchema, record.body).traceparent;
      if (traceparent) {
        startSpan({
          scope: "@stigmer/server",
          name: "stigmer.queue",
          parent: contextFrom(traceparent),
          startTime: task.createdAt,
          attributes: { "stigmer.execution.id": task.id, "stigmer.engine": engine, "stigmer.queue": task.queue },
        }).end();
      }
      return task;
    },
  };
}
