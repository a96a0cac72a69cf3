// Nothing here loads Temporal's packages: that happens when an engine is made, or a worker runs.

// For servers.
export { createTemporalEngine } from "./create-temporal-engine.ts";
export type { TemporalEngine, TemporalEngineMetrics, TemporalEngineOptions } from "./create-temporal-engine.ts";

// For runners.
export { checkTemporal } from "./check-temporal.ts";
export { createTemporalWorker } from "./create-temporal-worker.ts";
export type { TemporalWorker, TemporalWorkerOptions } from "./create-temporal-worker.ts";

// For both.
export type { TemporalTls } from "./connect.ts";
