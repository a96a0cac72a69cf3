import { describe, it } from "vitest";
import { queueStoreConformance } from "../conformance/index.ts";
import { createMemoryQueueStore } from "./memory-queue-store.ts";

queueStoreConformance({
  name: "memory",
  describe,
  it,
  create: async () => {
    const queue = createMemoryQueueStore();
    return { queue, enqueue: queue.enqueue, comeToRest: queue.comeToRest, dispose: async () => {} };
  },
});
