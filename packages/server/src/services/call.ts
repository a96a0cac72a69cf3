import { isMessage, type Message } from "@bufbuild/protobuf";
import type { HandlerContext } from "@connectrpc/connect";
import { ExecutionContextSchema } from "@stigmer/protos/executioncontext/v1";
import type { Principal } from "../interceptors/principal.ts";
import type { Secrets } from "../secrets/secrets.ts";

/** What a handler needs to know about the call that it answers. */
export interface Call {
  readonly principal: Principal;
  readonly signal: AbortSignal;
  /** What the caller may see of a stored message: secrets open for the runner that holds a run, masked for all others. */
  view<T extends Message>(message: T): T;
}

/** Makes a `Call` of a handler's context. */
export type CallOf = (context: HandlerContext) => Promise<Call>;

export interface CallOptions {
  readonly secrets: Secrets;
  readonly principalOf: (context: HandlerContext) => Principal;
}

export function createCallOf({ secrets, principalOf }: CallOptions): CallOf {
  return async (context) => {
    const principal = principalOf(context);
    return { principal, signal: context.signal, view: viewOf(principal, secrets) };
  };
}

/** As `Call.view`, for who acts as this principal. */
export function viewOf({ holds }: Principal, secrets: Secrets): Call["view"] {
  const held = holds?.executionId;
  return (message) => {
    if (held === undefined) return secrets.mask(message);
    // A context is one run's alone; environments and agents are for every run that uses them.
    const isOthers = isMessage(message, ExecutionContextSchema) && message.spec?.executionId !== held;
    return isOthers ? secrets.mask(message) : secrets.open(message);
  };
}
