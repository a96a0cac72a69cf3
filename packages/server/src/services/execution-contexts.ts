import type { ConnectRouter } from "@connectrpc/connect";
import { ApiResourceOwnerScope } from "@stigmer/protos/apiresource";
import {
  type ExecutionContext,
  ExecutionContextCommandController,
  ExecutionContextQueryController,
  ExecutionContextSchema,
} from "@stigmer/protos/executioncontext/v1";
import { auditStatus } from "./audit-status.ts";
import type { ResourceHandlers } from "./resource-handlers.ts";
import { missingReference, type ResourceDefinition } from "./resources.ts";

export const executionContextDefinition: ResourceDefinition<ExecutionContext> = {
  kind: "ExecutionContext",
  schema: ExecutionContextSchema,
  // A context belongs to its run.
  defaultScope: ApiResourceOwnerScope.api_resource_owner_scope_unspecified,
  status: auditStatus,
  parentOf: ({ spec }) => spec?.executionId ?? "",
  checkReferences: async (tx, { spec }) => {
    const id = spec?.executionId ?? "";
    if (!(await tx.executions.get(id))) throw missingReference("spec.execution_id", "AgentExecution", id);
  },
};

export function registerExecutionContexts(router: ConnectRouter, handlers: ResourceHandlers<ExecutionContext>): void {
  const { apply, create, deleteByInput, get, getByReference } = handlers;
  router.service(ExecutionContextCommandController, { apply, create, delete: deleteByInput });
  router.service(ExecutionContextQueryController, { get, getByReference });
}
