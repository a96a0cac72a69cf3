import { Code, ConnectError, type Interceptor } from "@connectrpc/connect";
import { inSpan, traceparentHere } from "@stigmer/telemetry";

/**
 * Calls that are made within a traced piece of work are part of its trace: each unary one is a span, and the server is told
 * which (W3C `traceparent`). Without a trace under way nothing is told and nothing recorded.
 */
export function traceCalls(): Interceptor {
  return (next) => (request) => {
    const traceparent = traceparentHere();
    if (traceparent === "") return next(request);
    if (request.stream) {
      request.header.set("traceparent", traceparent);
      return next(request);
    }
    const method = `${request.service.typeName}/${request.method.name}`;
    const attributes = { "rpc.system.name": "grpc", "rpc.method": method };
    const failureOf = (error: unknown): string => grpcName(ConnectError.from(error).code);
    return inSpan({ scope: "@stigmer/client", name: method, kind: "client", attributes, failureOf }, async (span) => {
      request.header.set("traceparent", traceparentHere());
      try {
        const response = await next(request);
        span.setAttribute("rpc.response.status_code", "OK");
        return response;
      } catch (error) {
        span.setAttribute("rpc.response.status_code", grpcName(ConnectError.from(error).code));
        throw error;
      }
    });
  };
}

/** `NOT_FOUND`. */
function grpcName(code: Code): string {
  return (Code[code] ?? "Unknown").replace(/(?<=[a-z])(?=[A-Z])/g, "_").toUpperCase();
}
