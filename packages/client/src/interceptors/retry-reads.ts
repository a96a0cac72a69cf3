import { Code, ConnectError, type Interceptor } from "@connectrpc/connect";
import pRetry from "p-retry";

const READ_METHODS = /^(get|list|find|check)/i;

/**
 * Calls that only read are tried again while the server is away (a restart takes a second or two); a call that writes
 * may have happened before its connection broke, so it is left to the caller.
 */
export function retryReads(): Interceptor {
  return (next) => (request) => {
    if (request.stream || !READ_METHODS.test(request.method.name)) return next(request);
    return pRetry(() => next(request), {
      retries: 4,
      minTimeout: 100,
      maxTimeout: 1_500,
      randomize: true,
      signal: request.signal,
      shouldRetry: ({ error }) => ConnectError.from(error).code === Code.Unavailable,
    });
  };
}
