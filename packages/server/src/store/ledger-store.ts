import { type HolderRefusal, holderRefusalOf, type WriteState } from "./execution-store.ts";

/** What may be done about a call that was begun and of which nobody knows whether it happened: do it again, or not. */
export type ToolCallClass = "repeatable" | "once";

/** Somebody is about to run a tool. */
export interface ToolCallIntent {
  readonly executionId: string;
  /** Of the run's task, as the writer has it. */
  readonly fence: number;
  /** Names the call within its run. */
  readonly callKey: string;
  /** For people. */
  readonly toolName: string;
  readonly toolClass: ToolCallClass;
  /** Names the intent: the same only when a request is repeated. */
  readonly requestId: string;
  /** Milliseconds since 1970. */
  readonly now: number;
}

/** What to do about a call. */
export type ToolCallStart =
  /** Run it: the intent is stored. */
  | { readonly kind: "started" }
  /** It has ended, with this result. */
  | { readonly kind: "recorded"; readonly result: Uint8Array }
  /** It was begun then, in milliseconds since 1970; whether it happened is not known and won't be any more. */
  | { readonly kind: "unknown"; readonly begunAt: number }
  | LedgerRefusal;

/** What came of a call. */
export interface ToolCallResult {
  readonly executionId: string;
  readonly fence: number;
  readonly callKey: string;
  readonly result: Uint8Array;
  /** Of the call. A repeatable one's result binds nobody (`StatusAppend.passing`). Default `once`. */
  readonly toolClass?: ToolCallClass | undefined;
}

export type ToolCallEnd =
  /** A result of the call is stored: this one, or the one before, which is never replaced. */
  | { readonly kind: "recorded" }
  /** The call was not begun under this fence. */
  | { readonly kind: "not-begun" }
  /** The call was told to be unknown, which it stays. */
  | { readonly kind: "given-up" }
  | LedgerRefusal;

/** Why nothing may be done under this fence. */
export type LedgerRefusal =
  | HolderRefusal
  /** The run's task is nobody's at the moment: it waits for its next runner, or is over. */
  | { readonly kind: "not-held" }
  | { readonly kind: "ended"; readonly phase: number };

/**
 * The tool calls of runs under way, by run and call key: what keeps an effect from happening twice. A run's calls go when the
 * run ends (`ExecutionStore.append` with `ends`), and with the run.
 */
export interface LedgerStore {
  /** Decides by `ledgerRefusalOf` and `startOf`, then stores, in one step. */
  begin(intent: ToolCallIntent): Promise<ToolCallStart>;
  /** Decides by `ledgerRefusalOf` and `endOf`, then stores, in one step. */
  finish(result: ToolCallResult): Promise<ToolCallEnd>;
  /** How many calls are kept of a run. */
  count(executionId: string): Promise<number>;
}

/** A call as it is stored, apart from its result. */
export interface LedgerEntry {
  readonly state: "open" | "finished" | "unknown";
  readonly toolClass: ToolCallClass;
  /** Of the intent that was stored last. */
  readonly fence: number;
  readonly requestId: string;
  readonly begunAt: number;
}

/**
 * Who may write to a run's ledger. `begin` asks for more than a status does: while a run is between two runners nothing new
 * is started, though what was started may still be told.
 */
export function ledgerRefusalOf(
  { fence, starts }: { readonly fence: number; readonly starts: boolean },
  state: WriteState | undefined,
): LedgerRefusal | undefined {
  const refusal = holderRefusalOf(fence, state);
  if (refusal || !state) return refusal ?? { kind: "missing" };
  if (state.ended) return { kind: "ended", phase: state.phase };
  return starts && state.taskPlace !== "held" ? { kind: "not-held" } : undefined;
}

/**
 * The one rule by which every driver starts a call or does not. `start`: store the intent, in place of the earlier one;
 * `started`: it is stored already; `give-up`: the call becomes unknown for good.
 */
export function startOf(
  intent: Pick<ToolCallIntent, "fence" | "requestId" | "toolClass">,
  entry: LedgerEntry | undefined,
): "start" | "started" | "recorded" | "give-up" | "unknown" {
  if (!entry) return "start";
  if (entry.state === "finished") return "recorded";
  if (entry.state === "unknown") return "unknown";
  if (entry.requestId === intent.requestId && entry.fence === intent.fence) return "started";
  // The class may have changed with the runner's version; both have to allow a repetition.
  return entry.toolClass === "repeatable" && intent.toolClass === "repeatable" ? "start" : "give-up";
}

/** The one rule by which every driver takes a result or does not. `finish`: store it. */
export function endOf(
  { fence }: Pick<ToolCallResult, "fence">,
  entry: LedgerEntry | undefined,
): "finish" | "recorded" | "given-up" | "not-begun" {
  if (entry?.state === "finished") return "recorded";
  if (entry?.state === "unknown") return "given-up";
  return entry?.fence === fence ? "finish" : "not-begun";
}
