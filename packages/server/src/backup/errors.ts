export type BackupErrorCode =
  | "no-database"
  | "no-directory"
  | "unreadable"
  | "unwritable"
  | "exists"
  | "busy"
  | "damaged"
  | "not-a-backup"
  | "newer"
  | "in-use"
  | "not-empty"
  | "unfinished-restore";

const brand: unique symbol = Symbol.for("@stigmer/server.BackupError") as never;

/** Why nothing was backed up or restored. `message` is one line for the person who wanted it. */
export class BackupError extends Error {
  override readonly name = "BackupError";
  readonly code: BackupErrorCode;

  constructor(code: BackupErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.code = code;
    Object.defineProperty(this, brand, { value: true });
  }

  static is(value: unknown): value is BackupError {
    return typeof value === "object" && value !== null && brand in value;
  }
}
