import { Code, ConnectError, type Interceptor } from "@connectrpc/connect";
import { translateErrors } from "./translate-errors.ts";

/**
 * A connection that breaks in mid-call is told as `unavailable`. Connect calls one that was reset `aborted`, which from a
 * server means that another runner has taken over, and one that just ended `canceled`, as if the caller had wished it.
 * `isClosed` tells whether the connection was ended by its owner.
 */
export function brokenConnections(isClosed: () => boolean): Interceptor {
  return translateErrors((error, signal) =>
    signal.aborted || isClosed() || !isBroken(error) ? error : unavailable(error),
  );
}

function unavailable(error: unknown): ConnectError {
  const { rawMessage, metadata } = ConnectError.from(error);
  return new ConnectError(rawMessage, Code.Unavailable, metadata, undefined, error);
}

function isBroken(error: unknown): boolean {
  const { code, rawMessage } = ConnectError.from(error);
  // Node's way to end the streams of a connection that the other side has closed.
  if (code === Code.Canceled) return rawMessage.startsWith("http/2 stream closed with error code CANCEL");
  // A server that closes has not looked at the call: it came on a connection that was ending.
  if (code === Code.Internal) return rawMessage.includes("NGHTTP2_REFUSED_STREAM") && causeOf(error) !== undefined;
  // What a server says comes without a cause: only an error of this side has one.
  return (code === Code.Aborted || code === Code.Unknown) && hasBrokenSocket(error);
}

const causeOf = (error: unknown): unknown => (error instanceof Error ? error.cause : undefined);

function hasBrokenSocket(error: unknown): boolean {
  for (let at = error; at instanceof Error; at = at.cause) {
    const code = (at as NodeJS.ErrnoException).code;
    if (typeof code === "string" && /^(ECONN|EPIPE|ETIMEDOUT|EHOSTUNREACH)/.test(code)) return true;
  }
  return false;
}
