import { Code, ConnectError, type Interceptor } from "@connectrpc/connect";
import { AgentExecutionCommandController } from "@stigmer/protos/agentexecution/v1";
import { RunnerController } from "@stigmer/protos/runner/v1";
import { SessionCommandController } from "@stigmer/protos/session/v1";
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
    return traceCall(`${request.service.typeName}/${request.method.name}`, () => {
      request.header.set("traceparent", traceparentHere());
      return next(request);
    });
  };
}

type Entry = "begin" | "finish" | "patch" | "remember";

const ENTRIES: Readonly<Record<Entry, string>> = {
  begin: `${RunnerController.typeName}/beginToolCall`,
  finish: `${RunnerController.typeName}/finishToolCall`,
  patch: `${AgentExecutionCommandController.typeName}/patchStatus`,
  remember: `${SessionCommandController.typeName}/update`,
};

/** The same for an entry of a run's stream, which stands for a call. `send` is told what to tell the server. */
export function traceEntry<T>(entry: Entry, send: (traceparent: string) => Promise<T>): Promise<T> {
  return traceparentHere() === "" ? send("") : traceCall(ENTRIES[entry], () => send(traceparentHere()));
}

function traceCall<T>(method: string, work: () => Promise<T>): Promise<T> {
  const attributes = { "rpc.system.name": "grpc", "rpc.method": method };
  const failureOf = (error: unknown): string => grpcName(ConnectError.from(error).code);
  return inSpan({ scope: "@stigmer/client", name: method, kind: "client", attributes, failureOf }, async (span) => {
    try {
      const answer = await work();
      span.setAttribute("rpc.response.status_code", "OK");
      return answer;
    } catch (error) {
      span.setAttribute("rpc.response.status_code", grpcName(ConnectError.from(error).code));
      throw error;
    }
  });
}

/** `NOT_FOUND`. */
function grpcName(code: Code): string {
  return (Code[code] ?? "Unknown").replace(/(?<=[a-z])(?=[A-Z])/g, "_").toUpperCase();
}
