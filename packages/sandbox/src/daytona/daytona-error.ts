// The one place where what Daytona's SDK throws becomes ours.
import { SandboxError } from "../errors.ts";

/** What is known of a call that failed. Read from the error's fields: the SDK is not loaded for it. */
export interface CallFailure {
  /** None when no answer came. */
  readonly status: number | undefined;
  readonly message: string;
  readonly retryAfterMs: number | undefined;
}

/** Nobody answered within our own deadline. */
export class NoAnswer extends Error {
  override readonly name = "NoAnswer";
}

/** Whether a deadline passed, ours or the SDK's, which has none for most calls that is shorter than a day. */
export const isSilence = (error: unknown): boolean =>
  error instanceof Error && (error instanceof NoAnswer || /^Daytona(Connection)?TimeoutError$/.test(error.name));

export function toCallFailure(error: unknown): CallFailure {
  const { statusCode, headers, message } = (typeof error === "object" && error !== null ? error : {}) as {
    readonly statusCode?: unknown;
    readonly headers?: unknown;
    readonly message?: unknown;
  };
  return {
    // An answer that breaks off has the status that it began with.
    status: typeof statusCode === "number" && statusCode >= 300 ? statusCode : undefined,
    message: typeof message === "string" ? message : String(error),
    retryAfterMs: retryAfter(headers),
  };
}

/** Seconds or a date. */
function retryAfter(headers: unknown): number | undefined {
  if (typeof headers !== "object" || headers === null) return undefined;
  const value: unknown = "retry-after" in headers ? headers["retry-after"] : undefined;
  if (typeof value !== "string" && typeof value !== "number") return undefined;
  const seconds = Number(value);
  const ms = Number.isFinite(seconds) ? seconds * 1000 : Date.parse(String(value)) - Date.now();
  return Number.isFinite(ms) ? Math.max(0, ms) : undefined;
}

/** Whether the sandbox itself is what was not found. */
export const tellsGone = ({ status }: CallFailure): boolean => status === 404 || status === 410;

const quotaWords = /quota|limit exceeded|exceeds|insufficient|suspended|credit|billing|depleted/i;

/** `what` is what was tried, as "could not <what>". */
export function toSandboxError(error: unknown, what: string): SandboxError {
  if (SandboxError.is(error)) return error;
  const failure = toCallFailure(error);
  const { status, message } = failure;
  const told = `Daytona could not ${what}: ${message}${status === undefined ? "" : ` (HTTP ${status})`}.`;
  const failed = (code: SandboxError["code"], next: string): SandboxError =>
    new SandboxError(code, `${told} ${next}`, { cause: error });
  if (tellsGone(failure)) return failed("sandbox-gone", "Create a new sandbox.");
  if (status === 402 || ((status === 400 || status === 403 || status === 422) && quotaWords.test(message))) {
    return failed("backend-unavailable", "A quota of the organisation is used up: remove sandboxes, or raise it.");
  }
  if (status === 401)
    return failed("permission", "The API key is not accepted: check apiKey, and that it belongs to this apiUrl.");
  if (status === 403) return failed("permission", "The API key lacks this right: give it write access to sandboxes.");
  if (status === 429)
    return failed("backend-unavailable", "Its rate limit is reached: try again later, or less often.");
  if (status === 400 || status === 422) return failed("invalid-argument", "Check the snapshot and the options.");
  if (status === undefined || status >= 500 || status === 408) {
    return failed("backend-unavailable", "Check apiUrl and the network, or try again later.");
  }
  return failed("backend-error", "Try again, or create a new sandbox.");
}
