import { mkdirSync } from "node:fs";
import { dirname } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { setTimeout as sleep } from "node:timers/promises";

/**
 * A lock between processes, in a file. It is SQLite's exclusive lock on an empty database: the kernel frees it with the
 * process that holds it, however that ends. So there are no stale locks, and a process id that was used again fools nobody.
 */
export interface Lock {
  release(): void;
}

const SQLITE_BUSY = 5;
// Someone who only looks holds the lock for a moment.
const ATTEMPTS = 10;
const PAUSE_MS = 20;

/** The lock, or undefined when another process has it. Throws when the file can't be made. */
export async function acquireLock(file: string): Promise<Lock | undefined> {
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
  for (let attempt = 1; ; attempt += 1) {
    const database = lock(file, "BEGIN EXCLUSIVE");
    if (database) return { release: () => database.close() };
    if (attempt === ATTEMPTS) return undefined;
    await sleep(PAUSE_MS);
  }
}

/** Whether a process holds the lock right now. */
export function isLocked(file: string): boolean {
  try {
    const database = lock(file, "SELECT count(*) FROM sqlite_schema");
    database?.close();
    return database === undefined;
  } catch {
    // Without a home there is no lock in it.
    return false;
  }
}

function lock(file: string, statement: string): DatabaseSync | undefined {
  const database = new DatabaseSync(file, { timeout: 0 });
  try {
    database.exec(statement);
    return database;
  } catch (error) {
    database.close();
    if ((error as { errcode?: number }).errcode === SQLITE_BUSY) return undefined;
    throw error;
  }
}
