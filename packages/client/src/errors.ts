import { Code, ConnectError } from "@connectrpc/connect";

/** What a caller can do something about; the rest is `internal`. */
export type ClientErrorCode =
  | "invalid-argument"
  | "not-found"
  | "already-exists"
  | "failed-precondition"
  | "permission-denied"
  | "unauthenticated"
  | "unavailable"
  | "deadline-exceeded"
  | "unimplemented"
  | "cancelled"
  | "internal";

const brand: unique symbol = Symbol.for("@stigmer/client.ClientError") as never;

/** A call that failed. `message` names the resource and the server's reason. */
export class ClientError extends Error {
  override readonly name = "ClientError";
  readonly code: ClientErrorCode;

  constructor(code: ClientErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.code = code;
    Object.defineProperty(this, brand, { value: true });
  }

  static is(value: unknown): value is ClientError {
    return typeof value === "object" && value !== null && brand in value;
  }

  /** Turns whatever a call threw into a ClientError; one of ours comes back as it is. `subject` is what the call was about, for example `agent "repo-doctor"`. */
  static from(error: unknown, subject: string): ClientError {
    if (ClientError.is(error)) return error;
    const connectError = ConnectError.from(error);
    return new ClientError(toCode(connectError), `${subject}: ${connectError.rawMessage}`, { cause: error });
  }
}

function toCode({ code, cause }: ConnectError): ClientErrorCode {
  switch (code) {
    case Code.InvalidArgument:
    case Code.OutOfRange:
      return "invalid-argument";
    case Code.NotFound:
      return "not-found";
    case Code.AlreadyExists:
      return "already-exists";
    case Code.FailedPrecondition:
    case Code.Aborted:
    case Code.ResourceExhausted:
      return "failed-precondition";
    case Code.PermissionDenied:
      return "permission-denied";
    case Code.Unauthenticated:
      return "unauthenticated";
    case Code.Unavailable:
      return "unavailable";
    case Code.DeadlineExceeded:
      return "deadline-exceeded";
    case Code.Unimplemented:
      return "unimplemented";
    case Code.Canceled:
      return "cancelled";
    case Code.Internal:
    case Code.DataLoss:
      return "internal";
    case Code.Unknown:
      // A connection that ended in mid-call reaches us as an error of Node, not of the protocol.
      return isBrokenConnection(cause) ? "unavailable" : "internal";
  }
}

function isBrokenConnection(cause: unknown): boolean {
  const code = (cause as NodeJS.ErrnoException | undefined)?.code;
  return code !== undefined && /^(ECONN|EPIPE|ERR_HTTP2|ETIMEDOUT|EHOSTUNREACH)/.test(code);
}
