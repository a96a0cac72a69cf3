import { closeSync, mkdirSync, openSync } from "node:fs";
import { dirname } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { AgentError } from "./errors.ts";

/** What kind of database a file holds. */
export interface SqliteFormat {
  /** For people: "checkpoint", "tool-call ledger". */
  readonly name: string;
  /** Makes the tables that are not there yet. */
  readonly schema: string;
  /** Raised with every change of the schema. */
  readonly version: number;
  /**
   * What a power cut may take: `FULL` nothing that was committed, `NORMAL` what was committed since the file was last synced.
   * The death of a process takes nothing of either.
   */
  readonly synchronous: "FULL" | "NORMAL";
  /** One of its tables, by which a database of another kind is told apart. */
  readonly table: string;
}

/**
 * Of a file that is made here; one that is there keeps its own. What changes is written as whole pages, and a step of a run changes
 * a few hundred bytes in each of several places.
 */
const PAGE_BYTES = 512;

/** How long the log becomes before its pages are moved into the file, where each is written once, however often it is in the log. */
const LOG_BYTES = 4 * 1_024 * 1_024;

/**
 * Opens, or makes, the file for use beside other processes: each waits for the others' short writes. Throws `AgentError`
 * `checkpoint` when it can't be used.
 */
export function openSqliteFile(path: string, format: SqliteFormat): DatabaseSync {
  const { name, schema, version: latest, synchronous, table } = format;
  let database: DatabaseSync | undefined;
  try {
    if (path !== ":memory:") {
      mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
      // SQLite gives its own files (-wal, -shm) the permissions of this one.
      closeSync(openSync(path, "a", 0o600));
    }
    database = new DatabaseSync(path, { timeout: 10_000 });
    database.exec(`PRAGMA page_size = ${PAGE_BYTES}; PRAGMA journal_mode = WAL; PRAGMA synchronous = ${synchronous};`);
    const pageBytes = Number(database.prepare("PRAGMA page_size").get()?.["page_size"] ?? PAGE_BYTES);
    database.exec(`PRAGMA wal_autocheckpoint = ${LOG_BYTES / pageBytes};`);
    const version = Number(database.prepare("PRAGMA user_version").get()?.["user_version"] ?? 0);
    const isTable = database.prepare("SELECT count(*) AS n FROM sqlite_schema WHERE type = 'table' AND name = ?");
    if (version > 0 && isTable.get(table)?.["n"] === 0) throw new Error("it is a database of another kind");
    if (version > latest) {
      throw new Error(`it was written by a newer version (schema ${version}, this one knows ${latest})`);
    }
    if (version < latest) database.exec(`BEGIN IMMEDIATE; ${schema} PRAGMA user_version = ${latest}; COMMIT;`);
    return database;
  } catch (error) {
    database?.close();
    const reason = error instanceof Error ? error.message : String(error);
    throw new AgentError(
      "checkpoint",
      `Cannot open the ${name} database ${path}: ${reason}. Check that the file is yours and that the disk has room.`,
      { cause: error },
    );
  }
}
