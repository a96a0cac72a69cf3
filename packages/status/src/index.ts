// For everyone who holds a status: servers, clients, user interfaces.
export { applyDelta, createStatusFold, emptyStatus, type StatusFold } from "./status-fold.ts";
export { mergeDeltas } from "./merge-deltas.ts";
export { mergeWholeStatus } from "./merge-whole-status.ts";
export { isTerminal } from "./phase.ts";
export { StatusError, type StatusErrorCode } from "./errors.ts";
