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
  GetAgentInstancesByAgentRequestSchema,
} from "@stigmer/protos/agentinstance/v1";
import { ApiResourceOwnerScope } from "@stigmer/protos/apiresource";
import type { Session } from "@stigmer/protos/session/v1";
import type { StoreTransaction } from "../store/store.ts";
import { auditStatus } from "./audit-status.ts";
import type { CallOf } from "./call.ts";
import { missingReference } from "./field-errors.ts";
import { readNumberedPage } from "./numbered-pages.ts";
import type { ResourceHandlers } from "./resource-handlers.ts";
import { metadataOf, type ResourceDefinition, type Resources } from "./resources.ts";

export function agentInstanceDefinition(sessions: Resources<Session>): ResourceDefinition<AgentInstance> {
  return {
    kind: "AgentInstance",
    schema: AgentInstanceSchema,
    defaultScope: ApiResourceOwnerScope.organization,
    status: auditStatus,
    parentOf: ({ spec }) => spec?.agentId ?? "",
    normalize: ({ spec }) => {
      // Older clients write workflow execution (52) where they mean environment.
      for (const reference of spec?.environmentRefs ?? []) reference.kind = kinds.Environment.number;
    },
    checkReferences: async (tx, { spec }, canRead) => {
      const id = spec?.agentId ?? "";
      const agent = await tx.resources.get("Agent", id);
      if (agent && canRead(agent)) return;
      throw missingReference({ schema: AgentInstanceSchema, field: "spec.agent_id", kind: "Agent", id });
    },
    beforeDelete: async (tx, instance, deletion) => {
      const { id, slug } = metadataOf(instance);
      if (!deletion.cascade) await refuseDefault(tx, instance);
      const count = deletion.force ? 0 : await tx.resources.count({ kind: "Session", parentId: id });
      if (count > 0) {
        const text = `AgentInstance ${slug} has ${count} sessions: delete those first, or force it`;
        throw new ConnectError(text, Code.FailedPrecondition);
      }
      while (deletion.rows.left > 0) {
        const [session] = await tx.resources.list({ kind: "Session", parentId: id }, { limit: 1 });
        if (!session) return;
        await sessions.removeIn(tx, session, { ...deletion, cascade: true });
      }
    },
  };
}

async function refuseDefault(tx: StoreTransaction, instance: AgentInstance): Promise<void> {
  const { id, slug } = metadataOf(instance);
  const agent = await tx.resources.get("Agent", instance.spec?.agentId ?? "");
  if (!agent || fromBinary(AgentSchema, agent.body).status?.defaultInstanceId !== id) return;
  const text = `AgentInstance ${slug} is the default instance of ${agent.slug}: it goes with its agent`;
  throw new ConnectError(text, Code.FailedPrecondition);
}

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
      const filter = { parentId: agentId };
      const items = await readNumberedPage(
        { schema: GetAgentInstancesByAgentRequestSchema, field: "page_info", page: pageInfo },
        (page) => instances.select(filter, page, principal),
      );
      const totalCount = await instances.count(filter, principal);
      return create(AgentInstanceListSchema, { totalCount, items: items.map((item) => view(item)) });
    },
  });
}
