import { open } from "node:fs/promises";
import { StoreError } from "../store/errors.ts";
import { refusalOfDisk } from "../store/sqlite/trouble.ts";
import { BackupError } from "./errors.ts";

/** A new name survives power loss only once its directory is on disk; so do the bytes of a file. */
export async function flush(path: string): Promise<void> {
  const handle = await open(path, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Runs what writes into a directory; what its disk does not let happen is told by a `BackupError`. */
export async function writingTo<T>(directory: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw explainWrite(error, directory);
  }
}

function explainWrite(error: unknown, directory: string): unknown {
  if (BackupError.is(error)) return error;
  const refusal = refusalOfDisk(error, directory);
  if (StoreError.is(refusal)) return new BackupError("unwritable", capitalised(refusal.message), { cause: error });
  const { syscall, message } = (error ?? {}) as NodeJS.ErrnoException;
  if (typeof syscall !== "string") return error;
  return new BackupError("unwritable", `Cannot write to ${directory}: ${message}`, { cause: error });
}

function capitalised(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
