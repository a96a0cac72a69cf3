import { Code, ConnectError, type Interceptor } from "@connectrpc/connect";
import { contextFrom, inSpan } from "@stigmer/telemetry";

// What runners and probes ask for all the time is no news.
const QUIET: ReadonlySet<string> = new Set(["heartbeat", "checkExecution", "check"]);

/** Each unary call is a span, below its caller's when that one is traced (W3C `traceparent`). Streams are none: they last for hours. */
export function traceCalls(): Interceptor {
  return (next) => (request) => {
    const traceparent = request.header.get("traceparent") ?? undefined;
    if (request.stream || (traceparent === undefined && QUIET.has(request.method.name))) return next(request);
    const method = `${request.service.typeName}/${request.method.name}`;
    const attributes = { "rpc.system.name": "grpc", "rpc.method": method };
    const parent = contextFrom(traceparent);
    const choice = { scope: "@stigmer/server", name: method, kind: "server", attributes, parent, failureOf } as const;
    return inSpan(choice, async (span) => {
      try {
        const response = await next(request);
        span.setAttribute("rpc.response.status_code", "OK");
        return response;
      } catch (error) {
        span.setAttribute("rpc.response.status_code", grpcNameOf(ConnectError.from(error).code));
        throw error;
      }
    });
  };
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
