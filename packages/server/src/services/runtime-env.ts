import { create } from "@bufbuild/protobuf";
import { kinds } from "@stigmer/protos";
import { type AgentExecution, AgentExecutionSchema } from "@stigmer/protos/agentexecution/v1";
import { ApiResourceOwnerScope } from "@stigmer/protos/apiresource";
import { type ExecutionContext, ExecutionContextSchema } from "@stigmer/protos/executioncontext/v1";
import type { Principal } from "../interceptors/principal.ts";
import { SECRET_MASK } from "../secrets/secrets.ts";
import type { StoreTransaction } from "../store/store.ts";
import { invalidField } from "./field-errors.ts";
import type { Resources } from "./resources.ts";

type Contexts = Pick<Resources<ExecutionContext>, "putIn">;

/**
 * Puts a run's variables into its context, where only the runner that holds the run can read the secrets among them, and from
 * where they go when the run ends. The context is found by the run's id as its slug. `previous` is the run as it is stored,
 * whose secrets are masked: one that is given masked again stays as it is.
 */
export async function keepRuntimeEnv(
  contexts: Contexts,
  tx: StoreTransaction,
  { execution, previous, principal }: { execution: AgentExecution; previous?: AgentExecution; principal: Principal },
): Promise<void> {
  const { id: executionId = "", org = "" } = execution.metadata ?? {};
  const data = execution.spec?.runtimeEnv ?? {};
  for (const [name, { value, isSecret }] of Object.entries(data)) {
    if (!isSecret || value !== SECRET_MASK || previous?.spec?.runtimeEnv[name]?.isSecret) continue;
    const field = `spec.runtime_env[${JSON.stringify(name)}].value`;
    const message = "is what a secret is shown as, not its value: give the value";
    throw invalidField({ schema: AgentExecutionSchema, field, message });
  }
  if (Object.keys(data).length === 0) {
    if (previous) await dropContext(tx, executionId, org);
    return;
  }
  const context = create(ExecutionContextSchema, {
    apiVersion: kinds.ExecutionContext.apiVersion,
    kind: "ExecutionContext",
    metadata: { name: executionId, slug: executionId, org },
    spec: { executionId, data },
  });
  await contexts.putIn(tx, context, principal);
}

async function dropContext(tx: StoreTransaction, slug: string, org: string): Promise<void> {
  const ownerScope = ApiResourceOwnerScope.api_resource_owner_scope_unspecified;
  const context = await tx.resources.getByAddress({ kind: "ExecutionContext", org, ownerScope, slug });
  if (context) await tx.resources.delete("ExecutionContext", context.id);
}
