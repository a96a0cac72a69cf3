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
  /**
   * As `put`, of a checkpoint that follows the latest one of its graph. Throws `AgentError` `checkpoint-conflict` when that is not so
   * (any more), and stores nothing: a process that was taken for dead and wakes up takes nothing away from who went on for it. So agents
   * put theirs.
   */
  putNext: BaseCheckpointSaver["put"];
  /** Resolves when all that was put is on the disk itself. Throws `AgentError` `checkpoint` when the disk fails. */
  flush(): Promise<void>;
  /** Closes the database. Using the checkpointer afterwards throws. Safe to call twice. */
  close(): void;
}

/** A database of checkpoints that is open, while LangGraph is not loaded. */
export interface SqliteCheckpoints {
  /** The same at each call. The first loads LangGraph. */
  checkpointer(): Promise<SqliteCheckpointer>;
  /** As the checkpointer's. */
  close(): Promise<void>;
}

/**
 * Opens, or makes, the database, for a program that starts long before its first run: LangGraph is most of what it would load.
 * Throws `AgentError` `checkpoint` when the file can't be used.
 */
export async function openSqliteCheckpoints(options: SqliteCheckpointerOptions): Promise<SqliteCheckpoints> {
  const { openDatabase } = await import("./database.ts");
  const database = openDatabase(options.path);
  let opened: Promise<SqliteCheckpointer> | undefined;
  return {
    checkpointer() {
      opened ??= import("./sqlite-saver.ts").then(
        ({ SqliteSaver }) => new SqliteSaver(database, { keep: options.keep ?? 4 }),
      );
      return opened;
    },
    async close() {
      if (opened) (await opened).close();
      else if (database.isOpen) database.close();
    },
  };
}

/** Opens, or makes, the database. Throws `AgentError` `checkpoint` when the file can't be used. */
export async function createSqliteCheckpointer(options: SqliteCheckpointerOptions): Promise<SqliteCheckpointer> {
  return (await openSqliteCheckpoints(options)).checkpointer();
}
