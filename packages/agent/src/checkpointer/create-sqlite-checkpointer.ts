import type { BaseCheckpointSaver } from "@langchain/langgraph-checkpoint";

export interface SqliteCheckpointerOptions {
  /** The database file; made, readable by its owner alone, when it isn't there. */
  readonly path: string;
  /**
   * How many of a conversation's latest checkpoints are kept; a run goes on from the last one. More are for looking
   * back. `Infinity` keeps all. Default 4.
   */
  readonly keep?: number;
}

/**
 * A LangGraph checkpointer in one SQLite file. Several processes may have it open at once. What was put outlives the process;
 * a power cut may take what was put since the last `flush`. Agents flush before each tool and at the end of a run.
 */
export interface SqliteCheckpointer extends BaseCheckpointSaver {
  /** Resolves when all that was put is on the disk itself. Throws `AgentError` `checkpoint` when the disk fails. */
  flush(): Promise<void>;
  /** Closes the database. Using the checkpointer afterwards throws. Safe to call twice. */
  close(): void;
}

/** Opens, or makes, the database. Throws `AgentError` `checkpoint` when the file can't be used. */
export async function createSqliteCheckpointer(options: SqliteCheckpointerOptions): Promise<SqliteCheckpointer> {
  const [{ openDatabase }, { SqliteSaver }] = await Promise.all([import("./database.ts"), import("./sqlite-saver.ts")]);
  return new SqliteSaver(openDatabase(options.path), { keep: options.keep ?? 4 });
}
