import { Code, ConnectError } from "@connectrpc/connect";
import { retryDelayOf } from "./retry-delay.ts";
import { findViolations, type FieldViolation } from "./violations.ts";

/** What a caller can do something about; the rest is `internal`. */
export type ClientErrorCode =
  | "invalid-argument"
  | "not-found"
  | "already-exists"
  | "failed-precondition"
  | "permission-denied"
  | "unauthenticated"
  /** Too many calls: see `retryAfterMs`. */
  | "resource-exhausted"
  | "unavailable"
  | "deadline-exceeded"
  | "unimplemented"
  | "cancelled"
  | "internal";

export interface ClientErrorOptions {
  readonly cause?: unknown;
  readonly violations?: readonly FieldViolation[];
  readonly retryAfterMs?: number;
}

const brand: unique symbol = Symbol.for("@stigmer/client.ClientError") as never;

/** A call that failed. `message` names the resource and the server's reason. */
export class ClientError extends Error {
  override readonly name = "ClientError";
  readonly code: ClientErrorCode;
  /** With `invalid-argument`: each field that breaks a rule of the contract. Empty where the server names none. */
  readonly violations: readonly FieldViolation[];
  /** With `resource-exhausted`: when there is room for one more call, in milliseconds. Nothing of this one was done. */
  readonly retryAfterMs: number | undefined;

  constructor(code: ClientErrorCode, message: string, options: ClientErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.violations = options.violations ?? [];
    this.retryAfterMs = options.retryAfterMs;
    Object.defineProperty(this, brand, { value: true });
  }

  /**
   * Whether the same call may succeed a moment later: the server, or the way to it, was not there, or there were too many. Whether it may be made
   * again is the caller's to know: a write may have happened although its answer was lost.
   */
  get retryable(): boolean {
    return this.code === "unavailable" || this.code === "deadline-exceeded" || this.code === "resource-exhausted";
  }

  static is(value: unknown): value is ClientError {
    return typeof value === "object" && value !== null && brand in value;
  }

  /** Turns whatever a call threw into a ClientError; one of ours comes back as it is. `subject` is what the call was about, for example `agent "repo-doctor"`. */
  static from(error: unknown, subject: string): ClientError {
    if (ClientError.is(error)) return error;
    const connectError = ConnectError.from(error);
    const retryAfterMs = retryDelayOf(connectError);
    const code = retryAfterMs === undefined ? toCode(connectError) : "resource-exhausted";
    return new ClientError(code, withSubject(subject, connectError.rawMessage), {
      cause: error,
      retryAfterMs,
      violations: findViolations(connectError),
    });
  }
}

/** The server's reason, with what the call was about; a reason that begins with its name or id does not have it said twice. */
function withSubject(subject: string, reason: string): string {
  const [, noun, name] = /(\S+) "?([^\s"]+)"?$/.exec(subject) ?? [];
  if (name === undefined) return `${subject}: ${reason}`;
  // `aex-1 has ended …`, and `AgentExecution aex-1 does not exist`.
  if (reason.startsWith(`${name} `)) return `${noun} ${reason}`;
  const [, named] = /^[A-Z]\w+ "?([^\s"]+)"? /.exec(reason) ?? [];
  return named === name ? reason : `${subject}: ${reason}`;
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
  const { code } = (cause ?? {}) as { code?: unknown };
  return typeof code === "string" && /^(ECONN|EPIPE|ERR_HTTP2|ETIMEDOUT|EHOSTUNREACH)/.test(code);
}
