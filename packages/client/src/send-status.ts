import type { AgentExecutionStatus, StatusDelta } from "@stigmer/protos/agentexecution/v1";
import { ClientError } from "./errors.ts";
import type { ExecutionClient } from "./executions.ts";
import type { Fence } from "./with-fence.ts";

export interface SendStatusOptions extends Fence {
  readonly executions: Pick<ExecutionClient, "patchStatus" | "updateStatus">;
  /** The whole status as of now, for a server that knows no deltas. */
  readonly wholeStatus: () => AgentExecutionStatus;
}

/**
 * The `send` of a status sender: deltas, or the whole status once the server has said that it knows no `patchStatus`. Fence 0
 * comes from a server that knows no fences, so no deltas either.
 */
export function sendStatus(options: SendStatusOptions): (delta: StatusDelta, sequence: number) => Promise<void> {
  const { executions, executionId, fence, wholeStatus } = options;
  let knowsDeltas = fence > 0;
  return async (delta, sequence) => {
    if (knowsDeltas) {
      try {
        await executions.patchStatus({ executionId, fence, sequence, delta });
        return;
      } catch (error) {
        if (!ClientError.is(error) || error.code !== "unimplemented") throw error;
        knowsDeltas = false;
      }
    }
    await executions.updateStatus(executionId, wholeStatus());
  };
}
