import { Code, ConnectError, type Interceptor } from "@connectrpc/connect";

/**
 * A connection that breaks in mid-call is told as `unavailable`. Connect calls a reset one `aborted`, which from a server
 * means that another runner has taken over.
 */
export function brokenConnections(): Interceptor {
  return (next) => async (request) => {
    try {
      const response = await next(request);
      return response.stream ? { ...response, message: told(response.message) } : response;
    } catch (error) {
      throw translate(error);
    }
  };
}

async function* told<T>(messages: AsyncIterable<T>): AsyncGenerator<T> {
  try {
    yield* messages;
  } catch (error) {
    throw translate(error);
  }
}

function translate(error: unknown): unknown {
  const { code, rawMessage, metadata } = ConnectError.from(error);
  // What a server says comes without a cause: only an error of this side has one.
  if ((code !== Code.Aborted && code !== Code.Unknown) || !isBroken(error)) return error;
  return new ConnectError(rawMessage, Code.Unavailable, metadata, undefined, error);
}

function isBroken(error: unknown): boolean {
  for (let at = error; at instanceof Error; at = at.cause) {
    const code = (at as NodeJS.ErrnoException).code;
    if (typeof code === "string" && /^(ECONN|EPIPE|ETIMEDOUT|EHOSTUNREACH)/.test(code)) return true;
  }
  return false;
}
