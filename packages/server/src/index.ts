// To run a server in this process.
export { startServer, type RunningServer, type StartServerOptions } from "./start-server.ts";
export type { EmbeddedEngineChoice, EngineChoice, ServerMetrics, TemporalEngineChoice } from "./open-engine.ts";
export { ServerError, type ServerErrorCode } from "./errors.ts";
export type { Logger } from "./logger.ts";
