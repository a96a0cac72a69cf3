// For drivers' tests: one suite for every engine, one for every store of the queue. Register them with Vitest or `node:test`.
export { engineConformance } from "./engine.ts";
export type { EngineConformanceOptions, EngineFixture, ReportedEnd, RunnerUnderTest } from "./engine.ts";
export { queueStoreConformance } from "./queue-store.ts";
export type { QueueStoreConformanceOptions, QueueStoreFixture } from "./queue-store.ts";
export type { TestFunctions } from "./test-functions.ts";
