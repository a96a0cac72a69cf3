// For servers: the engine, and what it needs of their store.
export { createEmbeddedEngine } from "./create-engine.ts";
export type {
  EmbeddedEngine,
  EmbeddedEngineMetrics,
  EmbeddedEngineOptions,
  FinishedExecution,
} from "./create-engine.ts";
export { AT_REST } from "./queue-store.ts";
export type {
  LeaseKey,
  LeaseOptions,
  NewLease,
  NewTask,
  QueueCounts,
  QueuedItem,
  QueuedTask,
  QueueStore,
  ReleaseOptions,
  TaskKind,
} from "./queue-store.ts";
export { createOthersAtWork } from "./others-at-work.ts";
export type { OthersAtWork } from "./others-at-work.ts";

// For runners.
export { createEmbeddedWorker } from "./create-worker.ts";
export type { EmbeddedWorker, EmbeddedWorkerOptions } from "./create-worker.ts";

// For tests and demonstrations.
export { createMemoryQueueStore } from "./memory-queue-store.ts";
export type { MemoryQueueStore } from "./memory-queue-store.ts";
