import { Code, ConnectError } from "@connectrpc/connect";
import type { Store } from "../store/store.ts";
import { permissionOf, requireRole } from "./permissions.ts";
import { bindPrincipal, callerOf, type HeldRun, type Principal, type RequestGate } from "./principal.ts";

export interface AuthorizeOptions {
  readonly store: Pick<Store, "tasks" | "executions">;
  /** In local mode the owner of everything is also its runner. */
  readonly mode: "local" | "cloud";
  /** The services that permissions are about. Others take any caller that was authenticated. */
  readonly services: ReadonlySet<string>;
}

/** The header of a runner's calls for the run that it holds: `<execution id>/<fence>`. */
const FENCE_HEADER = "stigmer-fence";

/**
 * Decides, for every call that was authenticated, whether its caller's role may make it (PERMISSION_DENIED names the role that
 * may), and binds a runner to the organisation of the run whose fence it shows. A gate: nothing of the body is read before.
 */
export function authorize({ store, mode, services }: AuthorizeOptions): RequestGate {
  /** What the header says, when it is true right now. */
  async function heldRun(header: string | null): Promise<HeldRun | undefined> {
    const groups = /^(?<id>[a-z0-9-]+)\/(?<fence>\d{1,10})$/.exec(header ?? "")?.groups;
    const executionId = groups?.["id"];
    if (executionId === undefined) return undefined;
    const fence = Number(groups?.["fence"]);
    const task = await store.tasks.state(executionId);
    if (task?.state !== "leased" || task.fence !== fence) return undefined;
    const run = await store.executions.get(executionId);
    return run && { executionId, fence, org: run.org, sessionId: run.sessionId };
  }

  return async ({ service, method, requestHeader, values }) => {
    const caller = callerOf(values);
    if (!caller || !services.has(service.typeName)) return;
    const what = `${service.name}.${method.localName}`;
    const permission = permissionOf(service, method);
    const isOwnRunner = mode === "local" && caller.role === "owner";
    if (!isOwnRunner) requireRole(caller, permission, what);
    const { runner } = permission;
    if (runner === undefined || runner === "free" || !(isOwnRunner || caller.role === "runner")) return;
    const header = requestHeader.get(FENCE_HEADER);
    const holds = await heldRun(header);
    if (caller.role !== "runner") {
      if (holds) bindPrincipal(values, boundTo(caller, holds));
      return;
    }
    if (holds) bindPrincipal(values, boundTo(caller, holds));
    else if (runner === "held" || header !== null) throw notHeld(what, header);
  };
}

/** A runner as it may act for one run. The owner of a local server, who is its runner too, stays who that is. */
export function boundTo(runner: Principal, holds: HeldRun): Principal {
  return runner.role === "runner" ? { ...runner, org: holds.org, holds } : { ...runner, holds };
}

function notHeld(what: string, header: string | null): ConnectError {
  if (header === null) {
    const text = `${what}: a runner may call it only for a run that it holds: send the header ${FENCE_HEADER}: <execution id>/<fence>`;
    return new ConnectError(text, Code.PermissionDenied);
  }
  const text = `${what}: no run is held under ${FENCE_HEADER} ${header.slice(0, 64)}: stop work on it, and report nothing more for it`;
  return new ConnectError(text, Code.FailedPrecondition);
}
