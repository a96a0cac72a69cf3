/**
 * What went wrong at the boundary of a sandbox. `backend-unavailable`: an engine or a program is missing, and the message
 * says what to install. `unsupported`: this backend can't do what was asked. `process-ended`: it takes no more input.
 */
export type SandboxErrorCode =
  | "not-found"
  | "is-directory"
  | "not-directory"
  | "not-text"
  | "too-large"
  | "outside-root"
  | "permission"
  | "no-match"
  | "ambiguous-match"
  | "no-space"
  | "invalid-argument"
  | "unknown-backend"
  | "backend-unavailable"
  | "unsupported"
  | "process-ended"
  | "sandbox-gone"
  | "backend-error";

const brand: unique symbol = Symbol.for("@stigmer/sandbox.SandboxError") as never;

/** The one error class of this package. `message` says what happened, to which path or command, and what to do next. */
export class SandboxError extends Error {
  override readonly name = "SandboxError";
  readonly code: SandboxErrorCode;
  /** The path it happened to, as the caller gave it. */
  readonly path: string | undefined;

  constructor(code: SandboxErrorCode, message: string, options?: { path?: string; cause?: unknown }) {
    super(message, options?.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.path = options?.path;
    Object.defineProperty(this, brand, { value: true });
  }

  /** Recognises errors of this package also from another copy of it, where `instanceof` would not. */
  static is(value: unknown): value is SandboxError {
    return typeof value === "object" && value !== null && brand in value;
  }
}
