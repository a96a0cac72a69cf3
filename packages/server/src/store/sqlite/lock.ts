import { accessSync, constants, mkdirSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { finishRestore } from "../../backup/finish-restore.ts";
import { ServerError, unwritable } from "../../errors.ts";
import { isUnwritable, troubleOf } from "./trouble.ts";

/** A data directory that is one server's alone. */
export interface DataDirLock {
  /** Safe to call twice. */
  release(): void;
}

// A database that nothing refers to is closed by the garbage collector, and its lock would go with it.
const held = new Set<DatabaseSync>();

/**
 * Takes a data directory for this server until it releases it or dies: two servers would take each other's runners' leases
 * for lost. The lock is the operating system's, on a file that stays empty, so that it never outlives its process; Node
 * offers such locks through SQLite alone. A restore that was cut off after it was decided is finished. Throws `ServerError` `already-running` or `not-writable`.
 */
export function lockDataDir(dataDir: string): DataDirLock {
  let opened: DatabaseSync | undefined;
  try {
    mkdirSync(dataDir, { recursive: true, mode: 0o700 });
    const path = join(dataDir, "server.lock");
    opened = new DatabaseSync(path, { timeout: 0 });
    // A file that it may only read SQLite opens all the same, and then takes no lock.
    accessSync(path, constants.W_OK);
    opened.exec("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE;");
    finishRestore(dataDir);
  } catch (cause) {
    opened?.close();
    throw explain(cause, dataDir);
  }
  const database = opened;
  held.add(database);
  return {
    release: () => {
      if (held.delete(database)) database.close();
    },
  };
}

function explain(cause: unknown, dataDir: string): unknown {
  if (troubleOf(cause) === "busy") {
    return new ServerError(
      "already-running",
      `Another Stigmer server uses ${dataDir}: stop it (stigmer local stop), or choose another directory with STIGMER_DATA_DIR.`,
      { cause },
    );
  }
  return isUnwritable(cause) ? unwritable(dataDir, "STIGMER_DATA_DIR", cause) : cause;
}
