import { Code, ConnectError, type Interceptor } from "@connectrpc/connect";
import type { Labels, Meters } from "@stigmer/telemetry";
import type { RequestGate } from "../interceptors/principal.ts";
import { grpcNameOf } from "../interceptors/trace-calls.ts";

/** What counts the calls of a server. */
export interface CallCounts {
  /** Around everything else, so that it sees what callers are told. */
  readonly interceptor: Interceptor;
  /** Calls that a gate refuses come no further. */
  gated(gate: RequestGate): RequestGate;
}

export function createCallCounts(meters: Meters): CallCounts {
  const calls = meters.counter({
    name: "stigmer_server_calls_total",
    help: "Calls that ended, streams included, by their gRPC code.",
    labels: ["service", "method", "code"],
  });
  const seconds = meters.histogram({
    name: "stigmer_server_call_seconds",
    help: "Duration of unary calls.",
    labels: ["service", "method"],
  });
  let streams = 0;
  meters.gauge({
    name: "stigmer_server_streams_open",
    help: "Streams under way: watchers of runs, sessions and lists, and runners that wait for work.",
    read: () => [{ value: streams }],
  });

  const ended = (labels: Labels, error?: unknown): void => {
    const code = error === undefined ? "OK" : grpcNameOf(ConnectError.from(error).code);
    calls.add(1, { ...labels, code });
  };

  async function* counted<T>(messages: AsyncIterable<T>, labels: Labels): AsyncGenerator<T> {
    streams += 1;
    // A reader that leaves ends the generator where it stands.
    let failure: unknown = new ConnectError("the caller has gone", Code.Canceled);
    try {
      yield* messages;
      failure = undefined;
    } catch (error) {
      failure = error;
      throw error;
    } finally {
      streams -= 1;
      ended(labels, failure);
    }
  }

  return {
    interceptor: (next) => async (request) => {
      const labels = { service: request.service.typeName, method: request.method.name };
      const begun = performance.now();
      try {
        const response = await next(request);
        if (response.stream) return { ...response, message: counted(response.message, labels) };
        seconds.record((performance.now() - begun) / 1_000, labels);
        ended(labels);
        return response;
      } catch (error) {
        if (!request.stream) seconds.record((performance.now() - begun) / 1_000, labels);
        ended(labels, error);
        throw error;
      }
    },
    gated: (gate) => async (context) => {
      try {
        await gate(context);
      } catch (error) {
        ended({ service: context.service.typeName, method: context.method.name }, error);
        throw error;
      }
    },
  };
}
