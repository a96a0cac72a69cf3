import { create } from "@bufbuild/protobuf";
import { Code, ConnectError, type ConnectRouter } from "@connectrpc/connect";
import { createId, shortenSlug } from "@stigmer/protos";
import {
  type Agent,
  AgentListSchema,
  AgentSchema,
  AgentStatusSchema,
  AgentCommandController,
  AgentQueryController,
} from "@stigmer/protos/agent/v1";
import { type AgentInstance, AgentInstanceSchema } from "@stigmer/protos/agentinstance/v1";
import { ApiResourceOwnerScope } from "@stigmer/protos/apiresource";
import type { StoreTransaction } from "../store/store.ts";
import { refuseLiveRuns } from "./deletion.ts";
import type { ResourceHandlers } from "./resource-handlers.ts";
import { metadataOf, type ResourceDefinition, type Resources } from "./resources.ts";

/** An agent comes and goes with its default instance. */
export function agentDefinition(instances: Resources<AgentInstance>): ResourceDefinition<Agent> {
  return {
    kind: "Agent",
    schema: AgentSchema,
    defaultScope: ApiResourceOwnerScope.organization,
    status: (audit, _given, previous) => {
      const defaultInstanceId = previous?.status?.defaultInstanceId || createId("AgentInstance");
      return create(AgentStatusSchema, { audit, defaultInstanceId });
    },
    afterCreate: async (tx, agent, principal) => {
      const { id, name, slug, org, ownerScope } = metadataOf(agent);
      const instanceId = agent.status?.defaultInstanceId ?? "";
      const instance = create(AgentInstanceSchema, {
        metadata: {
          id: instanceId,
          name: defaultName(name),
          // With room for the part of an id.
          slug: await freeSlug(tx, { slug: `${shortenSlug(slug, 15)}-default`, org, ownerScope, instanceId }),
          org,
          ownerScope,
        },
        spec: { agentId: id, description: `Default instance of ${name}` },
      });
      await instances.createIn(tx, instance, principal);
    },
    beforeDelete: async (tx, agent, deletion) => {
      const { id, slug } = metadataOf(agent);
      if (deletion.force) await refuseLiveRuns(tx, { agentId: id }, `Agent ${slug}`);
      else await refuseDependents(tx, id, slug);
      while (deletion.rows.left > 0) {
        const [instance] = await tx.resources.list({ kind: "AgentInstance", parentId: id }, { limit: 1 });
        if (!instance) return;
        await instances.removeIn(tx, instance, { ...deletion, cascade: true });
      }
    },
  };
}

/** A name has an end, also with something after it. */
function defaultName(name: string): string {
  return `${Array.from(name).slice(0, 1000).join("")} (default)`;
}

async function refuseDependents(tx: StoreTransaction, id: string, slug: string): Promise<void> {
  const sessions = await tx.resources.count({ kind: "Session", grandparentId: id });
  const others = (await tx.resources.count({ kind: "AgentInstance", parentId: id })) - 1;
  const parts = [others > 0 && `${others} more instances`, sessions > 0 && `${sessions} sessions`].filter(Boolean);
  if (parts.length === 0) return;
  const text = `Agent ${slug} has ${parts.join(" and ")}: delete those first, or force it`;
  throw new ConnectError(text, Code.FailedPrecondition);
}

/** Somebody may have an instance of that name already: then a part of the id makes the difference. */
async function freeSlug(
  tx: StoreTransaction,
  { slug, org, ownerScope, instanceId }: { slug: string; org: string; ownerScope: number; instanceId: string },
): Promise<string> {
  const taken = await tx.resources.getByAddress({ kind: "AgentInstance", org, ownerScope, slug });
  return taken ? `${slug}-${instanceId.slice(-6)}` : slug;
}

export function registerAgents(router: ConnectRouter, handlers: ResourceHandlers<Agent>): void {
  const { apply, create: createAgent, update, deleteById, get, getByReference, list } = handlers;
  router.service(AgentCommandController, { apply, create: createAgent, update, delete: deleteById });
  router.service(AgentQueryController, {
    get,
    getByReference,
    list: async (request, context) => create(AgentListSchema, await list(request, context)),
  });
}
