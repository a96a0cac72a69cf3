import { type AgentMiddleware, createMiddleware } from "langchain";
import { passGate } from "./run-gate.ts";

export interface GateMiddlewareOptions {
  /** Whether people speak to this agent: true for the root, whose model calls wait until what was said is in the thread. */
  readonly listens: boolean;
}

/**
 * Lets no model call and no tool begin once the run shall rest. Stands inside of the retries, so that a further attempt is a
 * new call, and outside of the ledger, so that what does not begin is not written down.
 */
export function runGate({ listens }: GateMiddlewareOptions): AgentMiddleware {
  return createMiddleware({
    name: "runGate",
    wrapModelCall: async (request, handler) => {
      passGate(request.runtime as object, { listens });
      return handler(request);
    },
    wrapToolCall: async (request, handler) => {
      passGate(request.runtime as object, { listens: false });
      return handler(request);
    },
  });
}
