// For everyone who holds a status: servers, clients, user interfaces.
export { applyDelta, createStatusFold, emptyStatus, type StatusFold } from "./status-fold.ts";
export { hashesContradict } from "./hashes-contradict.ts";
export { mergeDeltas } from "./merge-deltas.ts";
export { mergeWholeStatus } from "./merge-whole-status.ts";
export { isTerminal } from "./phase.ts";
export { StatusError, type StatusErrorCode } from "./errors.ts";

// For whoever runs an agent and reports what it does.
export { createReducer, type At, type Reducer, type ReducerOptions } from "./create-reducer.ts";
export type { RunOutcome } from "./finish-run.ts";
export type { SkillInUse } from "./skills.ts";
export type { ReadTiming } from "./run-state.ts";
export {
  createPricing,
  MODEL_PRICES,
  type ModelPrice,
  type ModelPrices,
  type PricedTokens,
  type Pricing,
} from "./prices.ts";
export type { AgentEvent } from "./agent-event.ts";

// For user interfaces that draw tool calls of runners that send no component metadata.
export { inferComponent, type Component, type ComponentType, type LayoutHint } from "./components.ts";
export { displayCommand } from "./display-command.ts";
export { sessionRuleOf } from "./approvals.ts";
