import { create, fromBinary } from "@bufbuild/protobuf";
import { Code, ConnectError, type ConnectRouter } from "@connectrpc/connect";
import { kinds } from "@stigmer/protos";
import { AgentSchema } from "@stigmer/protos/agent/v1";
import {
  type AgentInstance,
  AgentInstanceCommandController,
  AgentInstanceListSchema,
  AgentInstanceQueryController,
  AgentInstanceSchema,
} from "@stigmer/protos/agentinstance/v1";
import { ApiResourceOwnerScope } from "@stigmer/protos/apiresource";
import { auditStatus } from "./audit-status.ts";
import type { CallOf } from "./call.ts";
import { pageSizeOf } from "./pages.ts";
import type { ResourceHandlers } from "./resource-handlers.ts";
import { metadataOf, missingReference, type ResourceDefinition, type Resources } from "./resources.ts";

export const agentInstanceDefinition: ResourceDefinition<AgentInstance> = {
  kind: "AgentInstance",
  schema: AgentInstanceSchema,
  defaultScope: ApiResourceOwnerScope.organization,
  status: auditStatus,
  parentOf: ({ spec }) => spec?.agentId ?? "",
  normalize: ({ spec }) => {
    // Older clients write workflow execution (52) where they mean environment.
    for (const reference of spec?.environmentRefs ?? []) reference.kind = kinds.Environment.number;
  },
  checkReferences: async (tx, { spec }) => {
    const agentId = spec?.agentId ?? "";
    if (!(await tx.resources.get("Agent", agentId))) throw missingReference("spec.agent_id", "Agent", agentId);
  },
  beforeDelete: async (tx, instance) => {
    const { id, slug } = metadataOf(instance);
    const sessions = await tx.resources.count({ kind: "Session", parentId: id });
    if (sessions > 0) {
      throw new ConnectError(
        `AgentInstance ${slug} has ${sessions} sessions: delete those first`,
        Code.FailedPrecondition,
      );
    }
    const agent = await tx.resources.get("Agent", instance.spec?.agentId ?? "");
    if (agent && fromBinary(AgentSchema, agent.body).status?.defaultInstanceId === id) {
      const text = `AgentInstance ${slug} is the default instance of ${agent.slug}: it goes with its agent`;
      throw new ConnectError(text, Code.FailedPrecondition);
    }
  },
};

export function registerAgentInstances(
  router: ConnectRouter,
  options: { instances: Resources<AgentInstance>; handlers: ResourceHandlers<AgentInstance>; callOf: CallOf },
): void {
  const { instances, callOf } = options;
  const { apply, create: createInstance, update, deleteById, get, getByReference, list } = options.handlers;
  router.service(AgentInstanceCommandController, { apply, create: createInstance, update, delete: deleteById });
  router.service(AgentInstanceQueryController, {
    get,
    getByReference,
    list: async (request, context) => create(AgentInstanceListSchema, await list(request, context)),
    getByAgent: async ({ agentId, pageInfo }, context) => {
      const { principal, view } = await callOf(context);
      const size = pageSizeOf(pageInfo?.size ?? 0);
      const start = (Math.max(pageInfo?.num ?? 1, 1) - 1) * size;
      const filter = { parentId: agentId };
      // This older method counts pages, so what is written in between may shift them.
      const { items } = await instances.select(filter, { pageSize: start + size, pageToken: "" }, principal);
      const totalCount = await instances.count(filter, principal);
      return create(AgentInstanceListSchema, { totalCount, items: items.slice(start).map((item) => view(item)) });
    },
  });
}
