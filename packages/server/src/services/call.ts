import type { Message } from "@bufbuild/protobuf";
import type { HandlerContext } from "@connectrpc/connect";
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
    const holdsRun = await hasCurrentFence(store, context.requestHeader.get("stigmer-fence"));
    return { principal, signal: context.signal, view: holdsRun ? secrets.open : secrets.mask };
  };
}

/** `<execution id>/<fence>`, where the run's task is leased under this fence right now. */
async function hasCurrentFence(store: Pick<Store, "tasks">, header: string | null): Promise<boolean> {
  const groups = /^(?<id>[a-z0-9-]+)\/(?<fence>\d{1,10})$/.exec(header ?? "")?.groups;
  if (!groups?.["id"]) return false;
  const task = await store.tasks.state(groups["id"]);
  return task?.state === "leased" && task.fence === Number(groups["fence"]);
}
