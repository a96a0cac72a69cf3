import type { HandlerContext } from "@connectrpc/connect";
import type { RememberSandboxRequest } from "@stigmer/protos/runner/v1";
import type { Session } from "@stigmer/protos/session/v1";
import { missingExecution, refusalError } from "../executions/refusals.ts";
import { boundTo } from "../interceptors/authorize.ts";
import type { Principal } from "../interceptors/principal.ts";
import { ledgerRefusalOf } from "../store/ledger-store.ts";
import type { Store } from "../store/store.ts";
import type { Resources } from "./resources.ts";
import { orAfterLostRace, transact } from "./transact.ts";

/** Stores the sandbox of a run's session for who holds the run. Answers the one that the session has then. */
export type RememberSandbox = (request: RememberSandboxRequest, context: HandlerContext) => Promise<string>;

export interface RememberSandboxOptions {
  readonly store: Pick<Store, "transaction">;
  readonly sessions: Pick<Resources<Session>, "changeIn">;
  readonly principalOf: (context: HandlerContext) => Principal;
}

/** What a runner's `update` of the session does, but that of others who were quicker nothing is overwritten. */
export function createRememberSandbox({ store, sessions, principalOf }: RememberSandboxOptions): RememberSandbox {
  return async ({ executionId, fence, sandboxId, previousSandboxId, foundWithout: passing }, context) => {
    const runner = principalOf(context);
    const remember = (): Promise<string> =>
      transact(
        store,
        async (tx) => {
          // As of a tool that is to be started: the run is this runner's, and goes on.
          const refusal = ledgerRefusalOf({ fence, starts: true }, await tx.executions.writeState(executionId));
          if (refusal) throw refusalError({ executionId, fence }, refusal);
          const run = await tx.executions.get(executionId);
          if (!run) throw missingExecution(executionId);
          const { org, sessionId } = run;
          const principal = boundTo(runner, { executionId, fence, org, sessionId });
          const { spec } = await sessions.changeIn(tx, sessionId, principal, (stored) => {
            if (!stored.spec || !["", previousSandboxId].includes(stored.spec.sandboxId)) return false;
            if (stored.spec.sandboxId === sandboxId) return false;
            stored.spec.sandboxId = sandboxId;
            return true;
          });
          return spec?.sandboxId ?? "";
        },
        { passing },
      );
    return orAfterLostRace(remember);
  };
}
