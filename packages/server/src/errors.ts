export type ServerErrorCode =
  | "port-in-use"
  | "cannot-listen"
  | "not-writable"
  | "database-newer"
  | "database-corrupt"
  | "bad-key-file";

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
