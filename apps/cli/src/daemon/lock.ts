import { accessSync, constants } from "node:fs";
import { dirname } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { makeDirectory } from "./make-directory.ts";

/**
 * A lock between processes, in a file. It is SQLite's exclusive lock on an empty database: the kernel frees it with the
 * process that holds it, however that ends. So there are no stale locks, and a process id that was used again fools
 * nobody. (Node offers the kernel's locks through SQLite alone.)
 */
export interface Lock {
  /** Idempotent. */
  release(): void;
}

const SQLITE_BUSY = 5;
// Who only looks is in the way for a moment.
const WAIT_MS = 200;
// A database that nothing refers to is closed by the garbage collector, and its lock would go with it.
const held = new Set<DatabaseSync>();

/**
 * The lock, or undefined when another process has it. `prepare` runs while nobody can take the lock and nobody yet sees it
 * held: it removes what a dead holder left, so that whoever sees the lock held never reads that. Throws when the file can't be made.
 */
export function acquireLock(file: string, prepare: () => void = () => {}): Lock | undefined {
  makeDirectory(dirname(file));
  const database = new DatabaseSync(file, { timeout: WAIT_MS });
  try {
    // A file that it may only read SQLite opens all the same.
    accessSync(file, constants.W_OK);
    // Keeps others from writing, not from looking.
    database.exec("BEGIN IMMEDIATE");
    prepare();
    // Another process may get in between these two, prepare too, and win.
    database.exec("ROLLBACK");
    database.exec("BEGIN EXCLUSIVE");
  } catch (error) {
    database.close();
    if (isBusy(error)) return undefined;
    throw error;
  }
  held.add(database);
  return {
    release: () => {
      if (held.delete(database)) database.close();
    },
  };
}

/** Whether a process holds the lock right now. */
export function isLocked(file: string): boolean {
  let database: DatabaseSync | undefined;
  try {
    database = new DatabaseSync(file, { timeout: 0 });
    database.exec("SELECT count(*) FROM sqlite_schema");
    return false;
  } catch (error) {
    // Any other error: without a home there is no lock in it.
    return isBusy(error);
  } finally {
    database?.close();
  }
}

function isBusy(error: unknown): boolean {
  return (error as { errcode?: number }).errcode === SQLITE_BUSY;
}
