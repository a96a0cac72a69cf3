/** Why an agent could not be made or did not finish its run. */
export type AgentErrorCode =
  | "model-auth"
  | "model-not-found"
  | "model-rate-limited"
  | "model-overloaded"
  | "model-unreachable"
  | "model-bad-answer"
  | "model-refused"
  | "model-out-of-credit"
  | "context-too-long"
  | "recursion-limit"
  /** The run used more than its limits allow. */
  | "limit-exceeded"
  /** The agent did the same again and again. */
  | "loop-detected"
  | "invalid-agent"
  | "mcp-server"
  | "checkpoint"
  /** Somebody else has taken the conversation on since the run looked at it: the run is theirs, or is to be begun again from there. */
  | "checkpoint-conflict"
  /** Not a failure: the run rests until a person has looked at it; `message` says at what. */
  | "paused"
  /** Not a failure: the run rests until a person has decided a tool call. */
  | "waiting-for-approval"
  | "unknown";

/** What a run does can't be written down, or is somebody else's to write: it must not go on as if it had been. */
export function isUnwritten({ code }: Pick<AgentError, "code">): boolean {
  return code === "checkpoint" || code === "checkpoint-conflict";
}

const brand: unique symbol = Symbol.for("@stigmer/agent.AgentError") as never;

/** The one error class of this package. `message` says what happened and what to do next, and never holds a key. */
export class AgentError extends Error {
  override readonly name = "AgentError";
  readonly code: AgentErrorCode;

  constructor(code: AgentErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options?.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    Object.defineProperty(this, brand, { value: true });
  }

  /** Recognises errors of this package also from another copy of it, where `instanceof` would not. */
  static is(value: unknown): value is AgentError {
    return typeof value === "object" && value !== null && brand in value;
  }
}
