import { closeSync, mkdirSync, openSync } from "node:fs";
import { dirname } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { AgentError } from "../errors.ts";

// A checkpoint is small: what its channels hold lies in channel_values, one row for each value that changed. A list
// that only grew is stored as what was appended to the row `base`, so that a step of a long conversation costs what
// the step added and not the whole conversation.
const schema = `
  CREATE TABLE IF NOT EXISTS checkpoints (
    thread_id TEXT NOT NULL,
    checkpoint_ns TEXT NOT NULL,
    checkpoint_id TEXT NOT NULL,
    parent_checkpoint_id TEXT,
    type TEXT NOT NULL,
    checkpoint BLOB NOT NULL,
    metadata_type TEXT NOT NULL,
    metadata BLOB NOT NULL,
    channels TEXT NOT NULL,
    PRIMARY KEY (thread_id, checkpoint_ns, checkpoint_id)
  ) STRICT;
  CREATE TABLE IF NOT EXISTS channel_values (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    thread_id TEXT NOT NULL,
    checkpoint_ns TEXT NOT NULL,
    base INTEGER,
    type TEXT NOT NULL,
    value BLOB NOT NULL
  ) STRICT;
  CREATE INDEX IF NOT EXISTS channel_values_by_thread ON channel_values (thread_id, checkpoint_ns);
  CREATE TABLE IF NOT EXISTS writes (
    thread_id TEXT NOT NULL,
    checkpoint_ns TEXT NOT NULL,
    checkpoint_id TEXT NOT NULL,
    task_id TEXT NOT NULL,
    idx INTEGER NOT NULL,
    channel TEXT NOT NULL,
    type TEXT NOT NULL,
    value BLOB NOT NULL,
    PRIMARY KEY (thread_id, checkpoint_ns, checkpoint_id, task_id, idx)
  ) STRICT;
`;

/** Raised with every change of the schema. */
const schemaVersion = 1;

/** Opens the file for use beside other processes: each waits for the others' short writes. */
export function openDatabase(path: string): DatabaseSync {
  let database: DatabaseSync | undefined;
  try {
    if (path !== ":memory:") {
      mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
      // SQLite gives its own files (-wal, -shm) the permissions of this one.
      closeSync(openSync(path, "a", 0o600));
    }
    database = new DatabaseSync(path, { timeout: 10_000 });
    // FULL: what a run has acknowledged must outlive a power cut. It costs 0.4 ms a step, beside a model call nothing.
    database.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;");
    const version = Number(database.prepare("PRAGMA user_version").get()?.["user_version"] ?? 0);
    if (version > schemaVersion) {
      throw new Error(`it was written by a newer version (schema ${version}, this one knows ${schemaVersion})`);
    }
    if (version < schemaVersion)
      database.exec(`BEGIN IMMEDIATE; ${schema} PRAGMA user_version = ${schemaVersion}; COMMIT;`);
    return database;
  } catch (error) {
    database?.close();
    const reason = error instanceof Error ? error.message : String(error);
    throw new AgentError(
      "checkpoint",
      `Cannot open the checkpoint database ${path}: ${reason}. Check that the file is yours and that the disk has room.`,
      { cause: error },
    );
  }
}

/** Runs `work` in one transaction that holds the write lock from its start. */
export function transaction<T>(database: DatabaseSync, work: () => T): T {
  database.exec("BEGIN IMMEDIATE");
  try {
    const result = work();
    database.exec("COMMIT");
    return result;
  } catch (error) {
    if (database.isTransaction) database.exec("ROLLBACK");
    throw error;
  }
}
