import { Code, ConnectError, type Interceptor } from "@connectrpc/connect";
import { translateErrors } from "./translate-errors.ts";

/**
 * A `fetch` that found no server, or lost it in mid-answer, is told as `unavailable`: browsers throw a bare TypeError for
 * it, and an answer that ends early is told by text alone.
 */
export function brokenFetches(): Interceptor {
  return translateErrors((error, signal) => {
    if (signal.aborted || !isBroken(error)) return error;
    const { rawMessage, metadata } = ConnectError.from(error);
    return new ConnectError(rawMessage, Code.Unavailable, metadata, undefined, error);
  });
}

function isBroken(error: unknown): boolean {
  // What the server says is a ConnectError already.
  if (!(error instanceof ConnectError)) return error instanceof TypeError || String(error).startsWith("missing ");
  const { code, cause, rawMessage } = error;
  return (
    cause instanceof TypeError ||
    ((code === Code.Internal || code === Code.InvalidArgument || code === Code.DataLoss) &&
      /premature|missing (end|trailer)|protocol error: promised/i.test(rawMessage))
  );
}
