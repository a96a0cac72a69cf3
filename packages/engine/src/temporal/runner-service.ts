import { fromBinary, type MessageInitShape } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { InboxItemSchema, ReleaseHold, type RunOrdersSchema } from "@stigmer/protos/runner/v1";
import type { LeasedTask, QueueStore } from "../embedded/queue-store.ts";
import type { Logger } from "../engine.ts";
import type { TemporalEngine } from "./create-temporal-engine.ts";
import type { Dispatcher } from "./dispatcher.ts";

export interface RunnerServiceOptions {
  readonly queue: QueueStore;
  readonly dispatcher: Pick<Dispatcher, "runs" | "handOver">;
  readonly isKnown: (executionId: string) => Promise<boolean>;
  /** Something was stored for a run that another server follows. */
  readonly onOrder: (executionId: string) => void;
  readonly closing: AbortSignal;
  readonly logger: Logger;
}

/** What a runner to which Temporal gave a run asks of the server: its fence, and what people want of the run. */
export function createRunnerService(options: RunnerServiceOptions): TemporalEngine["runnerService"] {
  const { queue, dispatcher, isKnown, onOrder, closing, logger } = options;

  function open(): void {
    if (closing.aborted) throw new ConnectError("The engine is closing; ask again.", Code.Unavailable);
  }

  function ordersOf({ task, items }: LeasedTask): MessageInitShape<typeof RunOrdersSchema> {
    const { cancelReason, pauseReason } = task;
    return {
      ...(cancelReason !== undefined && { cancel: { reason: cancelReason } }),
      ...(pauseReason !== undefined && { pause: { reason: pauseReason } }),
      inbox: items.map(({ payload }) => fromBinary(InboxItemSchema, payload)),
    };
  }

  function lost(executionId: string, fence: number): ConnectError {
    const message = `The execution ${executionId} is no longer worked on under fence ${String(fence)}; stop it and report nothing more for it.`;
    return new ConnectError(message, Code.Aborted);
  }

  return {
    async claimExecution({ executionId, runnerId, claimId }) {
      open();
      const claimed = await queue.claim({ taskId: executionId, claimId });
      if (claimed) {
        const { fence } = claimed;
        // What was asked of it since comes with the first check.
        const items = await queue.inbox(executionId, { seen: 0 });
        logger.info({ executionId, fence, runnerId }, "A runner claimed an execution.");
        return { fence, orders: ordersOf({ task: claimed, items }) };
      }
      if (!(await isKnown(executionId))) {
        throw new ConnectError(`AgentExecution ${executionId} does not exist; it can't be run.`, Code.NotFound);
      }
      const message = `The execution ${executionId} is over, or waits to be started by a server: nobody is to run it now.`;
      throw new ConnectError(message, Code.FailedPrecondition);
    },

    async checkExecution({ executionId, fence, inboxSeen }) {
      open();
      const leased = await queue.leased(executionId, { seen: inboxSeen });
      if (leased?.task.fence !== fence) throw lost(executionId, fence);
      return { orders: ordersOf(leased) };
    },

    // Of a run that pauses itself only: with that, the queue knows of every rest, and a resume can be told from none.
    async releaseLease({ lease, hold, reason, inboxSeen }) {
      open();
      const { taskId, fence } = lease ?? { taskId: "", fence: 0 };
      if (hold !== ReleaseHold.PAUSED_ITSELF) {
        throw new ConnectError("Runs are handed back to Temporal itself, not by releaseLease.", Code.Unimplemented);
      }
      await dispatcher.handOver(async () => {
        const stored = await queue.rest({ taskId, fence }, { reason, inboxSeen });
        if (stored === "lost") throw lost(taskId, fence);
        const run = dispatcher.runs.get(taskId);
        if (!run) onOrder(taskId);
        else if (stored === "unread") run.orders.wakeSoon();
        else run.orders.rested(reason);
      });
      logger.info({ executionId: taskId, fence, reason }, "A run has paused itself.");
      return {};
    },
  };
}
