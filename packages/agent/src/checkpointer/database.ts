import type { DatabaseSync } from "node:sqlite";
import { openSqliteFile } from "../sqlite-file.ts";

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

/** Opens, or makes, a database of checkpoints. */
export function openDatabase(path: string): DatabaseSync {
  // A step is not synced by itself: most are followed by another at once. Who needs one to outlive a power cut flushes.
  return openSqliteFile(path, { name: "checkpoint", schema, version: 2, synchronous: "NORMAL", table: "checkpoints" });
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
