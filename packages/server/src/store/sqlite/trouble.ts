/** SQLite's result codes: https://sqlite.org/rescode.html. */
const BUSY = 5;
const CORRUPT = 11;
const NOT_A_DATABASE = 26;
/** Permission denied, read-only, cannot open. */
const UNWRITABLE: ReadonlySet<number> = new Set([3, 8, 14]);

/** What SQLite found in the way, as far as a person can do something about it. */
export type SqliteTrouble = "busy" | "corrupt" | "unwritable";

/** Undefined when the error is of another kind, or not SQLite's. */
export function troubleOf(error: unknown): SqliteTrouble | undefined {
  const code = (error as { errcode?: unknown }).errcode;
  if (typeof code !== "number") return undefined;
  // The higher bytes say more than is needed here.
  const base = code & 0xff;
  if (base === BUSY) return "busy";
  if (base === CORRUPT || base === NOT_A_DATABASE) return "corrupt";
  return UNWRITABLE.has(base) ? "unwritable" : undefined;
}

/** Whether the operating system refused a call of `node:fs`. */
export function isSystemError(error: unknown): boolean {
  return typeof (error as NodeJS.ErrnoException).syscall === "string";
}
