import { Code, ConnectError, type Interceptor } from "@connectrpc/connect";
import { contextFrom, inSpan } from "@stigmer/telemetry";

// What runners and probes ask for all the time is no news.
const QUIET: ReadonlySet<string> = new Set(["heartbeat", "checkExecution", "check"]);

/**
 * Each unary call is a span, below its caller's when that one is traced (W3C `traceparent`). Streams are none: they last for hours; what
 * comes over them may be, by {@link traceCall}.
 */
export function traceCalls(): Interceptor {
  return (next) => (request) => {
    const traceparent = request.header.get("traceparent") ?? undefined;
    if (request.stream || (traceparent === undefined && QUIET.has(request.method.name))) return next(request);
    const method = `${request.service.typeName}/${request.method.name}`;
    return traceCall(method, traceparent, () => next(request));
  };
}

/** Works on what a method is asked, within its span. */
export function traceCall<T>(method: string, traceparent: string | undefined, work: () => Promise<T>): Promise<T> {
  const attributes = { "rpc.system.name": "grpc", "rpc.method": method };
  const parent = contextFrom(traceparent);
  const choice = { scope: "@stigmer/server", name: method, kind: "server", attributes, parent, failureOf } as const;
  return inSpan(choice, async (span) => {
    try {
      const answer = await work();
      span.setAttribute("rpc.response.status_code", "OK");
      return answer;
    } catch (error) {
      span.setAttribute("rpc.response.status_code", grpcNameOf(ConnectError.from(error).code));
      throw error;
    }
  });
}

// What a caller did wrong is no failure of the server.
const FAILURES: ReadonlySet<Code> = new Set([
  Code.DataLoss,
  Code.DeadlineExceeded,
  Code.Internal,
  Code.Unavailable,
  Code.Unimplemented,
  Code.Unknown,
]);

function failureOf(error: unknown): string | undefined {
  const { code } = ConnectError.from(error);
  return FAILURES.has(code) ? grpcNameOf(code) : undefined;
}

/** `NOT_FOUND`. */
export function grpcNameOf(code: Code): string {
  return (Code[code] ?? "Unknown").replace(/(?<=[a-z])(?=[A-Z])/g, "_").toUpperCase();
}
