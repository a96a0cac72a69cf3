import { AsyncLocalStorage } from "node:async_hooks";
import { type AgentMiddleware, createMiddleware } from "langchain";
import type { RunWrites } from "../ledger/run-writes.ts";
import { questionsBefore } from "../ledger/unknown-outcome.ts";
import { askAgain, type GateRuntime, passGate, restOf, RestNow } from "./run-gate.ts";

export interface GateMiddlewareOptions {
  /** Whether people speak to this agent: true for the root, whose model calls wait until what was said is in the thread. */
  readonly listens: boolean;
  /** Of the run that makes the call. */
  readonly writesOf?: (runtime: GateRuntime) => Pick<RunWrites, "release"> | undefined;
}

/** A model call with all its attempts. */
interface ModelCall {
  underWay: boolean;
  /** Called when an attempt has failed. */
  onFailure?: () => void;
}

const calls = new AsyncLocalStorage<ModelCall>();

/**
 * Lets no model call and no tool begin once the run shall rest. Stands inside of the retries, so that a further attempt is a
 * new call, and outside of the ledger, so that what does not begin is not written down. What came before a tool is.
 */
export function runGate({ listens, writesOf }: GateMiddlewareOptions): AgentMiddleware {
  return createMiddleware({
    name: "runGate",
    wrapModelCall: async (request, handler) => {
      askAgain(request.runtime as object, questionsBefore(request.messages));
      passGate(request.runtime as object, { listens });
      const call = calls.getStore();
      if (call !== undefined) call.underWay = true;
      try {
        return await handler(request);
      } catch (error) {
        if (call !== undefined) call.underWay = false;
        call?.onFailure?.();
        throw error;
      }
    },
    wrapToolCall: async (request, handler) => {
      const runtime = request.runtime as GateRuntime;
      passGate(runtime, { listens: false });
      const writes = writesOf?.(runtime);
      // A call is begun and told, and a person asked about it, once that is written: a thread without its message would have the
      // model asked again, which then asks for another call.
      writes?.release();
      const result = await handler(request);
      // So is a report told: a sub-agent that had lost it would come to another one.
      if (request.toolCall.name === "task") writes?.release();
      return result;
    },
  });
}

/** Stands outside of the retries: a run that shall rest does not wait until a failed model call would be tried again. */
export function restBetweenAttempts(): AgentMiddleware {
  return createMiddleware({
    name: "restBetweenAttempts",
    wrapModelCall: async (request, handler) => {
      const rest = restOf(request.runtime as object);
      if (rest === undefined) return handler(request);
      const call: ModelCall = { underWay: false };
      const rested = Promise.withResolvers<never>();
      const leave = (): void => {
        if (rest.aborted && !call.underWay) rested.reject(new RestNow());
      };
      rest.addEventListener("abort", leave);
      // After the retries have had their say: a call that will not be tried again fails.
      call.onFailure = () => void setImmediate(leave);
      try {
        return await Promise.race([calls.run(call, async () => handler(request)), rested.promise]);
      } finally {
        rest.removeEventListener("abort", leave);
      }
    },
  });
}
