import { fromBinary, type MessageInitShape } from "@bufbuild/protobuf";
import {
  type InboxItem,
  InboxItemSchema,
  type LeaseEventSchema,
  type LeaseSignalSchema,
} from "@stigmer/protos/runner/v1";
import type { LeaseKey, QueuedTask, QueueStore } from "./queue-store.ts";

/** What people want of a run, as its holder is told. */
export type Order = NonNullable<MessageInitShape<typeof LeaseSignalSchema>["signal"]>;

/** Everything that was sent to a task so far, oldest first. */
export async function inboxOf(queue: QueueStore, taskId: string): Promise<InboxItem[]> {
  const items = await queue.inbox(taskId, { seen: 0 });
  return items.map(({ payload }) => fromBinary(InboxItemSchema, payload));
}

/** What a holder has to know that was not there when it was told last: who knows some of it already, ignores that. */
export async function standingOrders(queue: QueueStore, task: QueuedTask): Promise<Order[]> {
  const orders: Order[] = (await inboxOf(queue, task.id)).map((value) => ({ case: "inbox", value }));
  if (task.pauseReason !== undefined) orders.push({ case: "pause", value: { reason: task.pauseReason } });
  if (task.cancelReason !== undefined) orders.push({ case: "cancel", value: { reason: task.cancelReason } });
  return orders;
}

export function signalEvent({ taskId, fence }: LeaseKey, signal: Order): MessageInitShape<typeof LeaseEventSchema> {
  return { event: { case: "signal", value: { taskId, fence, signal } } };
}
