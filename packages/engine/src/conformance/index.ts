// For drivers' tests: one suite for every store of the queue. Register them with Vitest or `node:test`.
export { queueStoreConformance } from "./queue-store.ts";
export type { QueueStoreConformanceOptions, QueueStoreFixture } from "./queue-store.ts";
export type { TestFunctions } from "./test-functions.ts";
