import { open, type FileHandle } from "node:fs/promises";
import type { DatabaseSync } from "node:sqlite";
import { AgentError } from "../errors.ts";

/** The log of a database in WAL mode: what is committed lies there until SQLite moves it into the database, both synced. */
export interface WriteAheadLog {
  /** Resolves when everything committed so far would outlive a power cut. Throws `AgentError` `checkpoint` when it can't be. */
  sync(): Promise<void>;
  close(): void;
}

/**
 * Does what `synchronous = FULL` does after each commit, once for many of them, and off this thread: SQLite's own sync would
 * stop everything else that the process does. The log keeps its file for as long as the database is open.
 */
export function createWriteAheadLog(database: DatabaseSync): WriteAheadLog {
  const changes = database.prepare("SELECT total_changes() AS n");
  const path = database.location();
  let file: Promise<FileHandle> | undefined;
  let synced = 0;
  return {
    async sync() {
      const now = Number(changes.get()?.["n"] ?? 0);
      if (path === null || now === synced) return;
      try {
        file ??= open(`${path}-wal`, "r+");
        await (await file).datasync();
      } catch (cause) {
        file = undefined;
        const reason = cause instanceof Error ? cause.message : String(cause);
        const message = `The checkpoints in ${path} can't be brought to the disk: ${reason}. Check the disk, then run the execution again.`;
        throw new AgentError("checkpoint", message, { cause });
      }
      synced = Math.max(synced, now);
    },
    close() {
      void file?.then((handle) => handle.close()).catch(() => {});
      file = undefined;
    },
  };
}
