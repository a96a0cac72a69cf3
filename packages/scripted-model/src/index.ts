// For those who run it.
export { startScriptedModel, type Logger, type ScriptedModel, type ScriptedModelOptions } from "./server.ts";
export type { RecordedRequest } from "./requests.ts";

// For those who write scenarios.
export { loadScenario } from "./scenario/load-scenario.ts";
export type {
  Capture,
  Cut,
  FailureReason,
  Match,
  Pace,
  Scenario,
  ScenarioFile,
  ScriptedFailure,
  ScriptedToolCall,
  TextMatch,
  Turn,
} from "./scenario/scenario.ts";

export { ScriptedModelError, type ScenarioProblem, type ScriptedModelErrorCode } from "./errors.ts";
