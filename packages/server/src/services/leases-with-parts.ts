import { create, type MessageInitShape } from "@bufbuild/protobuf";
import type { HandlerContext } from "@connectrpc/connect";
import type { EngineRunnerService } from "@stigmer/engine";
import type { AgentExecution } from "@stigmer/protos/agentexecution/v1";
import { type LeaseEventSchema, LeaseSchema, type RunParts } from "@stigmer/protos/runner/v1";
import { boundTo } from "../interceptors/authorize.ts";
import type { Principal } from "../interceptors/principal.ts";
import { isCallerStillGood } from "../interceptors/recheck-streams.ts";
import type { Logger } from "../logger.ts";
import type { Secrets } from "../secrets/secrets.ts";
import { viewOf } from "./call.ts";
import { mapInOrder } from "./map-in-order.ts";
import type { ReadParts } from "./resolve-run.ts";

export type TakeLeases = NonNullable<EngineRunnerService["takeLeases"]>;

export interface LeasesWithPartsOptions {
  readonly readParts: ReadParts;
  readonly secrets: Secrets;
  readonly principalOf: (context: HandlerContext) => Principal;
  readonly logger: Logger;
}

/**
 * Adds to an engine's leases what their runs are made from, so that a runner need not ask. It is told to nobody whom `resolveRun` would
 * not tell it: each part is read as for the holder that the runner has just become, and whether its key is still good is asked
 * anew, since the stream may be older than that. Where anything is in the way the lease goes without, and the runner asks, which
 * tells it what is wrong. The engine waits for none of this.
 */
export function createLeasesWithParts(options: LeasesWithPartsOptions): (takeLeases: TakeLeases) => TakeLeases {
  const { readParts, secrets, principalOf, logger } = options;

  async function partsOf(
    execution: AgentExecution,
    fence: number,
    context: HandlerContext,
  ): Promise<RunParts | undefined> {
    const { id: executionId = "", org = "" } = execution.metadata ?? {};
    try {
      if (!(await isCallerStillGood(context))) return undefined;
      const { sessionId = "", runtimeEnv = {} } = execution.spec ?? {};
      const principal = boundTo(principalOf(context), { executionId, fence, org, sessionId });
      const parts = await readParts(execution, { principal, view: viewOf(principal, secrets) });
      const hasSecrets = Object.values(runtimeEnv).some(({ isSecret }) => isSecret);
      // In a lease a run has none of its own; one that was stored by a server of before contexts has them nowhere else.
      return hasSecrets && !parts.context ? undefined : parts;
    } catch (error) {
      logger.debug({ executionId, err: error }, "a lease goes without what its run is made from");
      return undefined;
    }
  }

  async function withParts(
    given: MessageInitShape<typeof LeaseEventSchema>,
    context: HandlerContext,
  ): Promise<MessageInitShape<typeof LeaseEventSchema>> {
    const { event } = given;
    if (event?.case !== "lease") return given;
    const lease = create(LeaseSchema, event.value);
    const { task, fence } = lease;
    if (task.case !== "agentExecution" || !task.value.execution) return given;
    task.value.parts = await partsOf(task.value.execution, fence, context);
    return { event: { case: "lease", value: lease } };
  }

  return (takeLeases) => (request, context) =>
    mapInOrder(takeLeases(request, context), (event) => withParts(event, context));
}
