import { fromBinary, type MessageInitShape } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { InboxItemSchema, ReleaseHold, type RunOrdersSchema } from "@stigmer/protos/runner/v1";
import type { QueueStore } from "../embedded/queue-store.ts";
import type { Logger } from "../engine.ts";
import type { TemporalEngine } from "./create-temporal-engine.ts";
import type { Dispatcher } from "./dispatcher.ts";
import type { Run } from "./run.ts";

export interface RunnerServiceOptions {
  readonly queue: QueueStore;
  readonly dispatcher: Pick<Dispatcher, "runs" | "handOver">;
  readonly isKnown: (executionId: string) => Promise<boolean>;
  readonly closing: AbortSignal;
  readonly logger: Logger;
}

/** What a runner to which Temporal gave a run asks of the server: its fence, and what people want of the run. */
export function createRunnerService(options: RunnerServiceOptions): TemporalEngine["runnerService"] {
  const { queue, dispatcher, isKnown, closing, logger } = options;

  function open(): void {
    if (closing.aborted) throw new ConnectError("The engine is closing; ask again.", Code.Unavailable);
  }

  async function ordersOf(
    { taskId, orders }: Run,
    inboxSeen: number,
  ): Promise<MessageInitShape<typeof RunOrdersSchema>> {
    const items = await queue.inbox(taskId, { seen: inboxSeen });
    const { cancelReason, pauseReason } = orders;
    return {
      ...(cancelReason !== undefined && { cancel: { reason: cancelReason } }),
      ...(pauseReason !== undefined && { pause: { reason: pauseReason } }),
      inbox: items.map(({ payload }) => fromBinary(InboxItemSchema, payload)),
    };
  }

  function holding(executionId: string, fence: number): Run {
    const run = dispatcher.runs.get(executionId);
    if (run?.fence === fence) return run;
    const message = `The execution ${executionId} is no longer worked on under fence ${String(fence)}; stop it and report nothing more for it.`;
    throw new ConnectError(message, Code.Aborted);
  }

  return {
    async claimExecution({ executionId, runnerId, claimId }) {
      open();
      const run = await dispatcher.handOver(async () => {
        const followed = dispatcher.runs.get(executionId);
        const task = followed && (await queue.claim({ taskId: executionId, claimId }));
        if (followed && task) followed.fence = task.fence;
        return task && followed;
      });
      if (run) {
        const { fence } = run;
        logger.info({ executionId, fence, runnerId }, "A runner claimed an execution.");
        return { fence, orders: await ordersOf(run, 0) };
      }
      if (!(await isKnown(executionId))) {
        throw new ConnectError(`AgentExecution ${executionId} does not exist; it can't be run.`, Code.NotFound);
      }
      const message = `The execution ${executionId} is over, or waits to be started by this server: nobody is to run it now.`;
      throw new ConnectError(message, Code.FailedPrecondition);
    },

    async checkExecution({ executionId, fence, inboxSeen }) {
      open();
      const orders = await ordersOf(holding(executionId, fence), inboxSeen);
      // Claimed by another one while the inbox was read.
      holding(executionId, fence);
      return { orders };
    },

    // Of a run that pauses itself only: with that, the queue knows of every rest, and a resume can be told from none.
    async releaseLease({ lease, hold, reason, inboxSeen }) {
      open();
      const { taskId, fence } = lease ?? { taskId: "", fence: 0 };
      if (hold !== ReleaseHold.PAUSED_ITSELF) return {};
      await dispatcher.handOver(async () => {
        const { orders } = holding(taskId, fence);
        if ((await queue.inbox(taskId, { seen: inboxSeen })).length > 0) return orders.wakeSoon();
        await queue.pause(taskId, reason);
        orders.rested(reason);
      });
      logger.info({ executionId: taskId, fence, reason }, "A run has paused itself.");
      return {};
    },
  };
}
