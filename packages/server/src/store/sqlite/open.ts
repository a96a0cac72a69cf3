import { accessSync, constants, mkdirSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { ServerError, unwritable } from "../../errors.ts";
import { migrate } from "./migrations.ts";
import { isUnwritable, troubleOf } from "./trouble.ts";

/** How long a statement waits for another process (a backup, a person with the sqlite3 shell) in milliseconds. */
const BUSY_TIMEOUT_MS = 5_000;

/**
 * Of a database that is made here; one that is there keeps its own. A change of a row is written as whole pages, one for each
 * index that the row is in, so that small ones are most of what a run doesn't give the disk. It is SQLite's smallest; a row that
 * no longer fits goes on in pages of its own.
 */
const PAGE_BYTES = 512;

/**
 * How long the log becomes before its pages are moved into the database, where each is written once, however often it is in the
 * log.
 */
const LOG_BYTES = 4 * 1_024 * 1_024;

export interface Databases {
  /** The only one that writes: outside of a transaction what it sees is what is committed, and it has that at hand. */
  readonly writer: DatabaseSync;
  /** Sees what is committed, also while the writer is in a transaction. */
  readonly reader: DatabaseSync;
}

/**
 * Opens (or makes) the database in a directory and brings its schema up to date.
 * Throws `ServerError` `not-writable`, `database-corrupt` or `database-newer`.
 */
export function openDatabases(dataDir: string): Databases {
  const path = join(dataDir, "stigmer.db");
  try {
    mkdirSync(dataDir, { recursive: true, mode: 0o700 });
    accessSync(dataDir, constants.W_OK | constants.X_OK);
  } catch (cause) {
    throw unwritable(dataDir, "STIGMER_DATA_DIR", cause);
  }
  const opened: DatabaseSync[] = [];
  try {
    const writer = new DatabaseSync(path, { timeout: BUSY_TIMEOUT_MS });
    opened.push(writer);
    // SQLite opens also what it may only read.
    accessSync(path, constants.W_OK);
    writer.exec(`PRAGMA page_size = ${PAGE_BYTES}; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;`);
    writer.exec(`PRAGMA foreign_keys = ON; PRAGMA wal_autocheckpoint = ${LOG_BYTES / pageBytesOf(writer)};`);
    // What is deleted is overwritten: the secrets of a run, sealed as they are, don't outlive it in free pages.
    writer.exec("PRAGMA secure_delete = ON;");
    migrate(writer, path);
    const reader = new DatabaseSync(path, { timeout: BUSY_TIMEOUT_MS, readOnly: true });
    opened.push(reader);
    return { writer, reader };
  } catch (cause) {
    for (const database of opened) database.close();
    throw explain(cause, dataDir, path);
  }
}

function pageBytesOf(database: DatabaseSync): number {
  return Number(database.prepare("PRAGMA page_size").get()?.["page_size"] ?? PAGE_BYTES);
}

function explain(cause: unknown, dataDir: string, path: string): unknown {
  if (troubleOf(cause) === "corrupt") {
    return new ServerError(
      "database-corrupt",
      `The database ${path} is damaged (${(cause as Error).message}): restore it from a copy, or move it away to start empty.`,
      { cause },
    );
  }
  return isUnwritable(cause) ? unwritable(dataDir, "STIGMER_DATA_DIR", cause) : cause;
}
