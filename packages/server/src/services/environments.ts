import { create } from "@bufbuild/protobuf";
import type { ConnectRouter } from "@connectrpc/connect";
import { ApiResourceOwnerScope } from "@stigmer/protos/apiresource";
import {
  type Environment,
  EnvironmentCommandController,
  EnvironmentListSchema,
  EnvironmentQueryController,
  EnvironmentSchema,
} from "@stigmer/protos/environment/v1";
import { auditStatus } from "./audit-status.ts";
import type { ResourceHandlers } from "./resource-handlers.ts";
import type { ResourceDefinition } from "./resources.ts";

export const environmentDefinition: ResourceDefinition<Environment> = {
  kind: "Environment",
  schema: EnvironmentSchema,
  defaultScope: ApiResourceOwnerScope.organization,
  status: auditStatus,
};

export function registerEnvironments(router: ConnectRouter, handlers: ResourceHandlers<Environment>): void {
  const { apply, create: createEnvironment, update, deleteByInput, get, getByReference, list } = handlers;
  router.service(EnvironmentCommandController, { apply, create: createEnvironment, update, delete: deleteByInput });
  router.service(EnvironmentQueryController, {
    get,
    getByReference,
    list: async (request, context) => create(EnvironmentListSchema, await list(request, context)),
  });
}
