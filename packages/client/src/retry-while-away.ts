import { Code, ConnectError } from "@connectrpc/connect";
import pRetry from "p-retry";

/**
 * Runs a call that may be repeated, again after a moment for as long as the server is away (a restart takes a second or
 * two), five times at most. `attempt` counts from 1.
 */
export async function retryWhileAway<T>(run: (attempt: number) => Promise<T>, signal?: AbortSignal): Promise<T> {
  try {
    return await pRetry(run, {
      retries: 4,
      minTimeout: 100,
      maxTimeout: 1_500,
      randomize: true,
      signal,
      shouldRetry: ({ error }) => ConnectError.from(error).code === Code.Unavailable,
    });
  } catch (error) {
    // A wait that is broken off throws whatever reason its signal was given.
    if (!signal?.aborted || error instanceof ConnectError) throw error;
    throw new ConnectError("the call was cancelled", Code.Canceled, undefined, undefined, error);
  }
}
