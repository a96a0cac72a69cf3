import { AgentError } from "@stigmer/agent";
import { ClientError } from "@stigmer/client";

const brand: unique symbol = Symbol.for("@stigmer/agent-runner.RunError") as never;

/** Why a run can't be done. The message names the thing and the field, and becomes the execution's `error`. */
export class RunError extends Error {
  override readonly name = "RunError";

  constructor(message: string, options?: { cause?: unknown }) {
    super(message, options);
    Object.defineProperty(this, brand, { value: true });
  }

  static is(value: unknown): value is RunError {
    return typeof value === "object" && value !== null && brand in value;
  }
}

/**
 * Nothing is wrong with the run: the way to the server is broken, or another runner has the conversation, or had it last. The engine gives
 * the run out again, if it is still to be done.
 */
export function isToBeTakenUpAgain(error: unknown): boolean {
  if (AgentError.is(error)) return error.code === "checkpoint-conflict";
  return isAway(error);
}

/** Says which field of the manifest a failed look-up comes from. */
export async function named<T>(field: string, lookUp: () => Promise<T>): Promise<T> {
  try {
    return await lookUp();
  } catch (cause) {
    // A server that is away says nothing about the field.
    if (isAway(cause)) throw cause;
    throw new RunError(`${field}: ${(cause as Error).message}`, { cause });
  }
}

/** The server, or the way to it. */
function isAway(error: unknown): boolean {
  return ClientError.is(error) && error.code === "unavailable";
}
