import { Code, ConnectError, type ConnectRouter } from "@connectrpc/connect";
import { ApiResourceOwnerScope } from "@stigmer/protos/apiresource";
import {
  type ExecutionContext,
  ExecutionContextCommandController,
  ExecutionContextQueryController,
  ExecutionContextSchema,
} from "@stigmer/protos/executioncontext/v1";
import { auditStatus } from "./audit-status.ts";
import { missingReference } from "./field-errors.ts";
import type { ResourceHandlers } from "./resource-handlers.ts";
import type { ResourceDefinition } from "./resources.ts";

const UNOWNED = ApiResourceOwnerScope.api_resource_owner_scope_unspecified;

export const executionContextDefinition: ResourceDefinition<ExecutionContext> = {
  kind: "ExecutionContext",
  schema: ExecutionContextSchema,
  // A context belongs to its run.
  defaultScope: UNOWNED,
  status: auditStatus,
  parentOf: ({ spec }) => spec?.executionId ?? "",
  checkReferences: async (tx, { spec }, canRead) => {
    const id = spec?.executionId ?? "";
    const run = await tx.executions.get(id);
    if (!run || !canRead({ org: run.org, ownerScope: UNOWNED })) {
      throw missingReference({
        schema: ExecutionContextSchema,
        field: "spec.execution_id",
        kind: "AgentExecution",
        id,
      });
    }
    // Nothing would delete it any more.
    if (run.ended) throw new ConnectError(`${id} has ended: it needs no context any more`, Code.FailedPrecondition);
  },
};

export function registerExecutionContexts(router: ConnectRouter, handlers: ResourceHandlers<ExecutionContext>): void {
  const { apply, create, deleteByInput, get, getByReference } = handlers;
  router.service(ExecutionContextCommandController, { apply, create, delete: deleteByInput });
  router.service(ExecutionContextQueryController, { get, getByReference });
}
