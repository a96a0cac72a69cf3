import { create } from "@bufbuild/protobuf";
import type { ConnectRouter, HandlerContext } from "@connectrpc/connect";
import { ApiResourceOwnerScope } from "@stigmer/protos/apiresource";
import {
  ListSessionsByAgentRequestSchema,
  ListSessionsRequestSchema,
  type Session,
  SessionCommandController,
  SessionListSchema,
  SessionQueryController,
  SessionSchema,
  type SessionList,
} from "@stigmer/protos/session/v1";
import type { ResourceFilter } from "../store/resource-store.ts";
import type { StoreTransaction } from "../store/store.ts";
import { auditStatus } from "./audit-status.ts";
import type { CallOf } from "./call.ts";
import { type Deletion, refuseLiveRuns } from "./deletion.ts";
import { enqueueCleanup } from "./enqueue-cleanup.ts";
import { invalidField, missingReference } from "./field-errors.ts";
import { type PagedList, readBoundPage } from "./page-tokens.ts";
import { type PageRequest, pagesOf } from "./pages.ts";
import type { ResourceHandlers } from "./resource-handlers.ts";
import { metadataOf, type ResourceDefinition, type Resources } from "./resources.ts";

export interface SessionDefinitionOptions {
  readonly mode: "local" | "cloud";
  /** Where the work of removing a session's sandbox goes. */
  readonly taskQueue: string;
  /** Milliseconds since 1970. */
  readonly clock: () => number;
}

export function sessionDefinition({ mode, taskQueue, clock }: SessionDefinitionOptions): ResourceDefinition<Session> {
  return {
    kind: "Session",
    schema: SessionSchema,
    defaultScope: ApiResourceOwnerScope.organization,
    status: auditStatus,
    parentOf: ({ spec }) => spec?.agentInstanceId ?? "",
    normalize: ({ spec }, previous) => {
      if (spec?.workspaceDir && mode === "cloud") {
        const message = "only a local server works in a directory of yours";
        throw invalidField({ schema: SessionSchema, field: "spec.workspace_dir", message });
      }
      if (!spec || !previous?.spec) return;
      // Runners set these; a manifest that does not know them must not take the conversation's memory away.
      spec.threadId ||= previous.spec.threadId;
      spec.sandboxId ||= previous.spec.sandboxId;
    },
    checkReferences: async (tx, { spec }, canRead) => {
      const id = spec?.agentInstanceId ?? "";
      const instance = await tx.resources.get("AgentInstance", id);
      if (instance && canRead(instance)) return;
      throw missingReference({ schema: SessionSchema, field: "spec.agent_instance_id", kind: "AgentInstance", id });
    },
    beforeDelete: async (tx, session, deletion) => {
      const { id, slug } = metadataOf(session);
      await refuseLiveRuns(tx, { sessionId: id }, `Session ${slug}`);
      await deleteExecutions(tx, id, deletion);
      if (deletion.rows.left <= 0) return;
      deletion.taken.tasks.push(await enqueueCleanup(tx, session, { taskQueue, createdAt: clock() }));
    },
  };
}

async function deleteExecutions(
  tx: StoreTransaction,
  sessionId: string,
  { rows, taken }: Pick<Deletion, "rows" | "taken">,
): Promise<void> {
  while (rows.left > 0) {
    const executions = await tx.executions.list({ sessionId }, { limit: Math.min(rows.left, 100) });
    if (executions.length === 0) return;
    for (const { id } of executions) {
      await tx.executions.delete(id);
      rows.left -= 1;
      taken.runs.push(id);
    }
  }
}

export function registerSessions(
  router: ConnectRouter,
  options: {
    sessions: Resources<Session>;
    handlers: ResourceHandlers<Session>;
    callOf: CallOf;
  },
): void {
  const { sessions, handlers, callOf } = options;
  const { apply, create: createSession, update, deleteById, get } = handlers;

  async function page(
    paged: PagedList & { readonly filter: Omit<ResourceFilter, "kind"> },
    request: PageRequest,
    context: HandlerContext,
  ): Promise<SessionList> {
    const { principal, view } = await callOf(context);
    const { filter } = paged;
    const { items, nextPageToken } = await readBoundPage(paged, request, (unbound) =>
      sessions.select(filter, unbound, principal),
    );
    const totalPages = pagesOf(await sessions.count(filter, principal), request.pageSize);
    return create(SessionListSchema, { entries: items.map((item) => view(item)), nextPageToken, totalPages });
  }

  router.service(SessionCommandController, { apply, create: createSession, update, delete: deleteById });
  router.service(SessionQueryController, {
    get,
    list: (request, context) => {
      const { tags, labels, org } = request;
      const paged = { list: "Session", filter: { tags, labels, org }, schema: ListSessionsRequestSchema };
      return page(paged, request, context);
    },
    listByAgent: (request, context) => {
      const filter = { grandparentId: request.agentId };
      return page({ list: "Session", filter, schema: ListSessionsByAgentRequestSchema }, request, context);
    },
  });
}
