import type { ToolCallLedger } from "./tool-call-ledger.ts";

export interface SqliteLedgerOptions {
  /** The database file, not that of a checkpointer; made, readable by its owner alone, when it isn't there. */
  readonly path: string;
}

/** The tool calls of any number of runs in one SQLite file. Several processes may have it open at once. */
export interface SqliteLedger {
  /** The ledger of one run, to be given to the agent that runs it. */
  forRun(runId: string): ToolCallLedger;
  /** Forgets a run's calls; for runs that have ended. Throws when the file can't be written. */
  deleteRun(runId: string): void;
  /** Closes the database. Using a ledger of it afterwards rejects. Safe to call twice. */
  close(): void;
}

/** Opens, or makes, the database. Throws `AgentError` `checkpoint` when the file can't be used. */
export async function createSqliteLedger({ path }: SqliteLedgerOptions): Promise<SqliteLedger> {
  const { openSqliteLedger } = await import("./sqlite-ledger.ts");
  return openSqliteLedger(path);
}
