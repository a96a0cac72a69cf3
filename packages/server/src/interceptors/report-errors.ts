import { randomUUID } from "node:crypto";
import { Code, ConnectError, type Interceptor } from "@connectrpc/connect";
import { EngineError } from "@stigmer/engine";
import { shuttingDown } from "../executions/closing.ts";
import type { Logger } from "../logger.ts";
import { SecretsError } from "../secrets/errors.ts";
import { StoreError } from "../store/errors.ts";
import type { RequestGate } from "./principal.ts";
import { refusalOfStore } from "./store-refusals.ts";

/**
 * The outermost interceptor: what a handler throws on purpose (a ConnectError) passes, and what the store refuses is told by
 * its code; anything else is a defect, is logged whole under a number, and the caller is told the number instead of our
 * internals.
 */
export function reportErrors(logger: Logger): Interceptor {
  const toConnectError = toldOf(logger);
  return (next) => async (request) => {
    const translate = (error: unknown): ConnectError =>
      isAbort(error) && timeIsUp(request.signal) ? request.signal.reason : toConnectError(error, request.method.name);
    try {
      const response = await next(request);
      if (!response.stream) return response;
      return { ...response, message: guarded(response.message, request.signal, translate) };
    } catch (error) {
      throw translate(error);
    }
  };
}

/** The same for a gate, which comes before all interceptors. */
export function reportGateErrors(gate: RequestGate, logger: Logger): RequestGate {
  const toConnectError = toldOf(logger);
  return async (context) => {
    try {
      await gate(context);
    } catch (error) {
      throw toConnectError(error, context.method.name);
    }
  };
}

/** What the caller of a method is told of an error; the log is told the rest. */
function toldOf(logger: Logger): (error: unknown, method: string) => ConnectError {
  return (error, method) => {
    if (error instanceof ConnectError) return told(error, method);
    if (isAbort(error)) return new ConnectError("the call was cancelled", Code.Canceled);
    if (StoreError.is(error)) return told(refusalOfStore(error), method);
    // No defect: its key was changed, and who has the secret can give it again.
    if (SecretsError.is(error)) return new ConnectError(error.message, Code.FailedPrecondition);
    // A call that was under way as this server began to close: another one, or this one started anew, will take it.
    if (EngineError.is(error) && error.code === "closed") return shuttingDown();
    const id = randomUUID().slice(0, 8);
    logger.error({ method, errorId: id, err: error }, "call failed");
    return new ConnectError(`internal error ${id}: see the server's log`, Code.Internal);
  };

  /** What the machine refuses is for who runs it, too. */
  function told(refusal: ConnectError, method: string): ConnectError {
    const { cause } = refusal;
    if (StoreError.is(cause) && (cause.code === "disk-full" || cause.code === "unavailable")) {
      logger.error({ method, err: cause }, "the store could not do it");
    }
    return refusal;
  }
}

async function* guarded<T>(
  messages: AsyncIterable<T>,
  signal: AbortSignal,
  translate: (error: unknown) => ConnectError,
): AsyncGenerator<T> {
  try {
    yield* messages;
  } catch (error) {
    throw translate(error);
  }
  // A handler that stops when it is told to has not come to the end of what it had to say: an end without error would mean that.
  if (timeIsUp(signal)) throw signal.reason;
}

function isAbort(error: unknown): boolean {
  return error instanceof Error && error.name === "AbortError";
}

/** The caller's deadline has passed. */
function timeIsUp(signal: AbortSignal): signal is AbortSignal & { readonly reason: ConnectError } {
  return signal.reason instanceof ConnectError && signal.reason.code === Code.DeadlineExceeded;
}
