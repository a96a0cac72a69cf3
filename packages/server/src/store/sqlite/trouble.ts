import { StoreError } from "../errors.ts";

/** SQLite's result codes: https://sqlite.org/rescode.html. */
const BUSY = 5;
const INPUT_OUTPUT = 10;
const CORRUPT = 11;
const FULL = 13;
const NOT_A_DATABASE = 26;
/** Permission denied, read-only, cannot open. */
const UNWRITABLE: ReadonlySet<number> = new Set([3, 8, 14]);

/** What SQLite found in the way, as far as a person can do something about it. */
export type SqliteTrouble = "busy" | "corrupt" | "full" | "io" | "unwritable";

/** Undefined when the error is of another kind, or not SQLite's. */
export function troubleOf(error: unknown): SqliteTrouble | undefined {
  const code = (error as { errcode?: unknown }).errcode;
  if (typeof code !== "number") return undefined;
  // The higher bytes say more than is needed here.
  const base = code & 0xff;
  if (base === BUSY) return "busy";
  if (base === CORRUPT || base === NOT_A_DATABASE) return "corrupt";
  if (base === FULL) return "full";
  if (base === INPUT_OUTPUT) return "io";
  return UNWRITABLE.has(base) ? "unwritable" : undefined;
}

/** A disk without room, or a user's share of it that is used up. */
const FULL_DISK: ReadonlySet<unknown> = new Set(["ENOSPC", "EDQUOT"]);
/** A disk, or a limit on it, that refuses to be written. */
const REFUSING_DISK: ReadonlySet<unknown> = new Set(["EIO", "EFBIG", "EROFS", "EACCES", "EPERM", "EMFILE", "ENFILE"]);

/**
 * What went wrong with a file of this directory as what callers of a store can act on: `StoreError` `disk-full` or
 * `unavailable`. Any other error comes back as it is.
 */
export function refusalOfDisk(error: unknown, directory: string): unknown {
  if (StoreError.is(error)) return error;
  const trouble = troubleOf(error);
  const { code } = (error ?? {}) as { code?: unknown };
  const cause = { cause: error };
  if (trouble === "full" || FULL_DISK.has(code)) {
    return new StoreError("disk-full", `the disk is full: make room in ${directory}, then try again`, cause);
  }
  if (trouble === "busy") {
    const text = `another process holds the database in ${directory}: try again`;
    return new StoreError("unavailable", text, cause);
  }
  // Also what a limit on the size of files, or on a user's share of the disk, makes of a write.
  if (trouble === "io" || trouble === "unwritable" || REFUSING_DISK.has(code)) {
    const text = `${directory} can't be read or written (${(error as Error).message}): look after its disk, then try again`;
    return new StoreError("unavailable", text, cause);
  }
  return error;
}

/** Whether a directory, or the disk that it is on, is what does not let itself be written. */
export function isUnwritable(error: unknown): boolean {
  const trouble = troubleOf(error);
  return trouble === "unwritable" || trouble === "full" || trouble === "io" || isSystemError(error);
}

/** Whether the operating system refused a call of `node:fs`. */
function isSystemError(error: unknown): boolean {
  return typeof (error as NodeJS.ErrnoException).syscall === "string";
}
