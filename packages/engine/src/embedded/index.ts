// For servers: what the engine needs of their store.
export type {
  LeaseKey,
  LeaseOptions,
  NewTask,
  QueueCounts,
  QueuedTask,
  QueueStore,
  ReleaseOptions,
  TaskKind,
} from "./queue-store.ts";

// For tests and demonstrations.
export { createMemoryQueueStore } from "./memory-queue-store.ts";
export type { MemoryQueueStore } from "./memory-queue-store.ts";
