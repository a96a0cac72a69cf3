import type { Interceptor } from "@connectrpc/connect";
import { retryWhileAway } from "../retry-while-away.ts";

const READ_METHODS = /^(get|list|find|check)/i;

/**
 * Calls that only read are tried again while the server is away; a call that writes may have happened before its
 * connection broke, so it is left to the caller.
 */
export function retryReads(): Interceptor {
  return (next) => (request) => {
    if (request.stream || !READ_METHODS.test(request.method.name)) return next(request);
    return retryWhileAway(() => next(request), request.signal);
  };
}
