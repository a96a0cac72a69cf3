// For servers: the port.
export type { EndedLease, Engine, EngineRunnerService, Logger, Standing } from "./engine.ts";

// For runners: what to implement, and why it may have to stop.
export type { Activities, ActivityContext, CleanupSandboxInput, Inbox, TaskEnding } from "./contract.ts";
export { ActivityStop, EngineError } from "./errors.ts";
export type { ActivityStopKind, EngineErrorCode } from "./errors.ts";
export type { WakeUps } from "./wake-ups.ts";

// For both: the names they meet under.
export {
  ACTIVITY_NAMES,
  DEFAULT_ACTIVITY_QUEUE,
  DEFAULT_WORKFLOW_QUEUE,
  INVOKE_AGENT_EXECUTION,
  INVOKE_AGENT_EXECUTION_WORKFLOW,
  OLDEST_RUNNER_PROTOCOL,
  RUNNER_PROTOCOL,
  SIGNAL_NAMES,
} from "./contract.ts";

// For tests of either: time in their own hands.
export { systemClock } from "./clock.ts";
export type { Clock } from "./clock.ts";
