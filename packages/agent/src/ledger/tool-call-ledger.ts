/**
 * What keeps a tool's effect from happening twice: the intent is written down before the effect, the result after it. After
 * a crash the next attempt finds out which of the two it is too late for.
 */
export interface ToolCallLedger {
  /**
   * Writes down that a call is about to be made, and tells what to do. Resolves when it is durable. Rejects when the call
   * must not be made: the run is another runner's by now, or `signal` aborted the waiting for a ledger that is away.
   */
  begin(intent: ToolCallIntent, signal?: AbortSignal): Promise<ToolCallStart>;
  /** Writes down what came of a call that was started. Resolves when it is durable. Repeated, it changes nothing. */
  finish(callKey: string, result: Uint8Array, signal?: AbortSignal): Promise<void>;
}

export interface ToolCallIntent {
  /** Names the call within its run, the same after every takeover. */
  readonly callKey: string;
  readonly toolName: string;
  readonly toolClass: ToolCallClass;
}

/** `repeatable`: doing it twice is like doing it once. `once`: it may have an effect each time. */
export type ToolCallClass = "repeatable" | "once";

export type ToolCallStart =
  /** Make the call. */
  | { readonly kind: "started" }
  /** It was made before, and this came of it. */
  | { readonly kind: "recorded"; readonly result: Uint8Array }
  /** It was begun before, may have happened or not, and must not happen twice. */
  | { readonly kind: "outcome-unknown"; readonly begunAt: string };
