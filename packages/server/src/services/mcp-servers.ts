import { create } from "@bufbuild/protobuf";
import type { ConnectRouter } from "@connectrpc/connect";
import { agenticApiVersion } from "@stigmer/protos";
import { ApiResourceOwnerScope } from "@stigmer/protos/apiresource";
import {
  type McpServer,
  McpServerCommandController,
  McpServerListSchema,
  McpServerQueryController,
  McpServerSchema,
  McpServerStatusSchema,
} from "@stigmer/protos/mcpserver/v1";
import type { ResourceHandlers } from "./resource-handlers.ts";
import type { ResourceDefinition } from "./resources.ts";

export const mcpServerDefinition: ResourceDefinition<McpServer> = {
  kind: "McpServer",
  schema: McpServerSchema,
  defaultScope: ApiResourceOwnerScope.organization,
  status: (audit) => create(McpServerStatusSchema, { audit }),
};

export function registerMcpServers(router: ConnectRouter, handlers: ResourceHandlers<McpServer>): void {
  const { apply, create: createServer, update, deleteByInput, get, getByReference, list } = handlers;
  router.service(McpServerCommandController, { apply, create: createServer, update, delete: deleteByInput });
  router.service(McpServerQueryController, {
    get,
    getByReference,
    list: async (request, context) =>
      create(McpServerListSchema, {
        ...(await list(request, context)),
        apiVersion: agenticApiVersion,
        kind: "McpServerList",
      }),
  });
}
