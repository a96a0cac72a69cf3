import { isMessage, type Message } from "@bufbuild/protobuf";
import type { HandlerContext } from "@connectrpc/connect";
import { ExecutionContextSchema } from "@stigmer/protos/executioncontext/v1";
import type { Principal } from "../interceptors/principal.ts";
import type { Secrets } from "../secrets/secrets.ts";
import type { Store } from "../store/store.ts";

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
  readonly store: Pick<Store, "tasks">;
  readonly secrets: Secrets;
  readonly principalOf: (context: HandlerContext) => Principal;
}

export function createCallOf({ store, secrets, principalOf }: CallOptions): CallOf {
  return async (context) => {
    const principal = principalOf(context);
    const held = await heldRun(store, context.requestHeader.get("stigmer-fence"));
    const view = <T extends Message>(message: T): T => {
      if (held === undefined) return secrets.mask(message);
      // A context is one run's alone; environments and agents are for every run that uses them.
      const isOthers = isMessage(message, ExecutionContextSchema) && message.spec?.executionId !== held;
      return isOthers ? secrets.mask(message) : secrets.open(message);
    };
    return { principal, signal: context.signal, view };
  };
}

/** The run of `<execution id>/<fence>`, when its task is leased under this fence right now. */
async function heldRun(store: Pick<Store, "tasks">, header: string | null): Promise<string | undefined> {
  const groups = /^(?<id>[a-z0-9-]+)\/(?<fence>\d{1,10})$/.exec(header ?? "")?.groups;
  const id = groups?.["id"];
  if (id === undefined) return undefined;
  const task = await store.tasks.state(id);
  return task?.state === "leased" && task.fence === Number(groups?.["fence"]) ? id : undefined;
}
