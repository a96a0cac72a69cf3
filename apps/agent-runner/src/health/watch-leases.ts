import type { StigmerClient } from "@stigmer/client";
import { RunnerController } from "@stigmer/protos/runner/v1";

type Transport = StigmerClient["transport"];

/** A transport that knows whether the server gives this runner tasks. */
export interface WatchedTransport {
  readonly transport: Transport;
  /** The stream of tasks stands: the server has taken this runner in, and nothing broke since. */
  readonly attached: boolean;
}

/** Looks at the stream of tasks as it passes by: what the server said last is what holds. */
export function watchLeases(inner: Transport): WatchedTransport {
  let standing: symbol | undefined;
  async function* watch<T>(messages: AsyncIterable<T>): AsyncIterable<T> {
    const stream = Symbol("stream");
    try {
      for await (const message of messages) {
        standing = stream;
        yield message;
      }
    } finally {
      if (standing === stream) standing = undefined;
    }
  }
  return {
    get attached() {
      return standing !== undefined;
    },
    transport: {
      unary: (...args) => inner.unary(...args),
      async stream(method, ...rest) {
        const response = await inner.stream(method, ...rest);
        if (method !== (RunnerController.method.takeLeases as object)) return response;
        return { ...response, message: watch(response.message) };
      },
    },
  };
}
