import { fromBinary, type MessageInitShape } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import {
  InboxItemSchema,
  ReleaseHold,
  type ReleaseLeaseRequest,
  type RunOrdersSchema,
} from "@stigmer/protos/runner/v1";
import { AT_REST, type LeaseKey, type QueuedItem, type QueuedTask, type QueueStore } from "../embedded/queue-store.ts";
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

/** What there is to be told of a task. */
interface Told {
  readonly task: Pick<QueuedTask, "cancelReason" | "pauseReason">;
  readonly items: readonly QueuedItem[];
}

/** What a runner to which Temporal gave a run asks of the server: its fence, and what people want of the run. */
export function createRunnerService(options: RunnerServiceOptions): TemporalEngine["runnerService"] {
  const { queue, dispatcher, isKnown, onOrder, closing, logger } = options;

  function open(): void {
    if (closing.aborted) throw new ConnectError("The engine is closing; ask again.", Code.Unavailable);
  }

  function ordersOf({ task, items }: Told): MessageInitShape<typeof RunOrdersSchema> {
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

  /** Answers whether it rests; where it has a reason to go on, its workflow is told so once it rests. */
  function rest(
    lease: LeaseKey,
    { reason, inboxSeen }: Pick<ReleaseLeaseRequest, "reason" | "inboxSeen">,
  ): Promise<boolean> {
    const { taskId, fence } = lease;
    return dispatcher.handOver(async () => {
      const stored = await queue.rest(lease, { reason, inboxSeen });
      if (stored === "lost") throw lost(taskId, fence);
      const run = dispatcher.runs.get(taskId);
      if (!run) onOrder(taskId);
      else if (stored === "unread") run.orders.wakeSoon();
      else run.orders.rested(reason);
      return stored === "resting";
    });
  }

  /**
   * What is wanted of a run that was just claimed. One that is at rest was stored so by a runner that died before it told the queue,
   * and its workflow, which knows no better, has given it out: it is to rest again, and this time that is told.
   */
  async function wantedOf({ id: taskId, fence, atRest, ...wanted }: QueuedTask): Promise<Told["task"]> {
    const rests = atRest === true && (await rest({ taskId, fence }, { reason: AT_REST, inboxSeen: 0 }));
    return rests ? { ...wanted, pauseReason: wanted.pauseReason ?? AT_REST } : wanted;
  }

  return {
    async claimExecution({ executionId, runnerId, claimId }) {
      open();
      const claimed = await queue.claim({ taskId: executionId, claimId });
      if (claimed) {
        const { fence } = claimed;
        const task = await wantedOf(claimed);
        // What was asked of it since comes with the first check.
        const items = await queue.inbox(executionId, { seen: 0 });
        logger.info({ executionId, fence, runnerId }, "A runner claimed an execution.");
        return { fence, orders: ordersOf({ task, items }) };
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
      const key = lease ?? { taskId: "", fence: 0 };
      if (hold !== ReleaseHold.PAUSED_ITSELF) {
        throw new ConnectError("Runs are handed back to Temporal itself, not by releaseLease.", Code.Unimplemented);
      }
      await rest(key, { reason, inboxSeen });
      logger.info({ executionId: key.taskId, fence: key.fence, reason }, "A run has paused itself.");
      return {};
    },
  };
}
