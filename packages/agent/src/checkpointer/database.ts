import type { DatabaseSync } from "node:sqlite";
import { openSqliteFile } from "../sqlite-file.ts";

// A checkpoint is small: what its channels hold lies in channel_values, one row for each value that changed. So does its document:
// the checkpoint itself, its metadata, and values of a few bytes. A list that only grew is stored as what was appended to the row
// `base`, so that a step of a long conversation costs what the step added and not the whole conversation.
//
// What a step gives the disk is pages, one for each place that it touches. So values are appended one after the other and have
// no index: whose they are is found by the checkpoints that refer to them, in rows so short that they need no second page.
// Columns that are empty are of before version 4. A database of before keeps its tables' layout, and its rows are read as they are.
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
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS channel_values (
    id INTEGER PRIMARY KEY,
    thread_id TEXT NOT NULL,
    checkpoint_ns TEXT NOT NULL,
    base INTEGER,
    type TEXT NOT NULL,
    value BLOB NOT NULL
  ) STRICT;
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
  -- Of before version 3: values that nothing refers to were found by this index.
  DROP INDEX IF EXISTS channel_values_by_thread;
  DELETE FROM channel_values WHERE id NOT IN (${valuesOf("true")});
`;

/** The ids of all values that those checkpoints refer to, also by way of others: a query. */
export function valuesOf(checkpoints: string): string {
  return `
    WITH RECURSIVE referred (id) AS (
      SELECT c.value FROM checkpoints, json_each(checkpoints.channels) AS c
      WHERE c.type = 'integer' AND ${checkpoints}
      UNION SELECT v.base FROM channel_values AS v JOIN referred ON v.id = referred.id WHERE v.base IS NOT NULL
    )
    SELECT id FROM referred`;
}

/** Opens, or makes, a database of checkpoints. */
export function openDatabase(path: string): DatabaseSync {
  // A step is not synced by itself: most are followed by another at once. Who needs one to outlive a power cut flushes.
  return openSqliteFile(path, { name: "checkpoint", schema, version: 4, synchronous: "NORMAL", table: "checkpoints" });
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
