import type { Interceptor } from "@connectrpc/connect";

/** Puts every error of a call, or of the stream that it answers, into other words. `signal` is the call's. */
export function translateErrors(translate: (error: unknown, signal: AbortSignal) => unknown): Interceptor {
  return (next) => async (request) => {
    try {
      const response = await next(request);
      if (!response.stream) return response;
      return { ...response, message: told(response.message, (error) => translate(error, request.signal)) };
    } catch (error) {
      throw translate(error, request.signal);
    }
  };
}

async function* told<T>(messages: AsyncIterable<T>, translate: (error: unknown) => unknown): AsyncGenerator<T> {
  try {
    yield* messages;
  } catch (error) {
    throw translate(error);
  }
}
