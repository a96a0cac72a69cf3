export type ServerErrorCode =
  | "already-running"
  | "port-in-use"
  | "cannot-listen"
  | "not-writable"
  | "database-newer"
  | "database-unreachable"
  | "database-corrupt"
  | "bad-key-file"
  | "wrong-key"
  | "bad-origin"
  | "bad-limit"
  | "bad-certificate"
  | "bad-key-request"
  | "engine-unavailable"
  | "fanout-unavailable";

const brand: unique symbol = Symbol.for("@stigmer/server.ServerError") as never;

/** Why a server could not start. `message` is one line for the person who started it. */
export class ServerError extends Error {
  override readonly name = "ServerError";
  readonly code: ServerErrorCode;

  constructor(code: ServerErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.code = code;
    Object.defineProperty(this, brand, { value: true });
  }

  static is(value: unknown): value is ServerError {
    return typeof value === "object" && value !== null && brand in value;
  }
}

/** A directory that can't be used, and the variable that chooses another. */
export function unwritable(
  directory: string,
  variable: "STIGMER_HOME" | "STIGMER_DATA_DIR",
  cause: unknown,
): ServerError {
  const message = `cannot write ${directory}: ${(cause as Error).message}; choose another with ${variable}`;
  return new ServerError("not-writable", message, { cause });
}
