import { Code, ConnectError, type HandlerContext } from "@connectrpc/connect";
import type { Engine } from "@stigmer/engine";
import type { HeldRun, Principal } from "../interceptors/principal.ts";
import type { Store } from "../store/store.ts";
import { notFound } from "./resources.ts";

export interface ImplicitClaimsOptions {
  readonly store: Pick<Store, "tasks" | "executions">;
  /** Of an engine that lets runners claim runs. */
  readonly claimExecution: Engine["runnerService"]["claimExecution"];
}

/** Claims a run for a runner that writes its status and shows no fence. */
export type ImplicitClaim = (executionId: string, runner: Principal, context: HandlerContext) => Promise<HeldRun>;

/**
 * Runners of before know no claims: their first word about a run is one. It holds only where nobody has claimed the run since it
 * was given away, so that no runner of before takes a run from a newer one, and is repeated by each further word of the same
 * runner's.
 */
export function createImplicitClaim({ store, claimExecution }: ImplicitClaimsOptions): ImplicitClaim {
  return async (executionId, runner, context) => {
    const run = await store.executions.get(executionId);
    const task = run && (await store.tasks.state(executionId));
    if (!run || !task) throw notFound("AgentExecution", executionId);
    const claimId = `implicit/${runner.id}`;
    if (task.state !== "leased" || !["", claimId].includes(task.claimId) || !claimExecution) {
      const text = `${executionId} is not held by this runner: claim it, and send the header stigmer-fence`;
      throw new ConnectError(text, Code.FailedPrecondition);
    }
    const { fence = 0 } = await claimExecution(
      { $typeName: "ai.stigmer.agentic.runner.v1.ClaimExecutionRequest", executionId, runnerId: runner.id, claimId },
      context,
    );
    return { executionId, fence, org: run.org, sessionId: run.sessionId };
  };
}
