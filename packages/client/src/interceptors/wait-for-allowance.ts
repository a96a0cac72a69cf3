import { Code, ConnectError, type Interceptor } from "@connectrpc/connect";
import { retryDelayOf } from "../retry-delay.ts";
import { sleep } from "../watch/reconnecting.ts";

/** Waits grow with each refusal, for others share the allowance: this is the first, in milliseconds. */
const FIRST_WAIT_MS = 100;
/** How often a call is made, at most. */
const MAX_CALLS = 7;

/**
 * A call that its organization had no allowance left for is made again when the server has said that there is some. After
 * seven refusals, or about ten seconds, the caller is told.
 */
export function waitForAllowance(): Interceptor {
  return (next) => async (request) => {
    if (request.stream) return next(request);
    for (let calls = 1; ; calls += 1) {
      try {
        return await next(request);
      } catch (error) {
        const delayMs = retryDelayOf(error);
        if (delayMs === undefined || calls === MAX_CALLS) throw error;
        const waitMs = Math.max(delayMs, FIRST_WAIT_MS * 2 ** (calls - 1));
        // Not all at the same moment again, nor before there is something.
        await sleep(waitMs * (1 + Math.random() / 2), request.signal);
        if (request.signal.aborted) throw endOf(request.signal, error);
      }
    }
  };
}

function endOf({ reason }: AbortSignal, cause: unknown): ConnectError {
  if (reason instanceof ConnectError) return reason;
  return new ConnectError("the call was cancelled", Code.Canceled, undefined, undefined, cause);
}
