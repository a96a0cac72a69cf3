import { create } from "@bufbuild/protobuf";
import { Code, ConnectError, type ConnectRouter, type HandlerContext } from "@connectrpc/connect";
import { ApiResourceOwnerScope } from "@stigmer/protos/apiresource";
import {
  ListSessionsByAgentRequestSchema,
  ListSessionsRequestSchema,
  SandboxType,
  type Session,
  SessionCommandController,
  SessionListSchema,
  SessionQueryController,
  SessionSchema,
  type SessionList,
} from "@stigmer/protos/session/v1";
import type { Principal } from "../interceptors/principal.ts";
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
import { metadataOf, notFound, type ResourceDefinition, type Resources } from "./resources.ts";

export interface SessionDefinitionOptions {
  readonly mode: "local" | "cloud";
  /** Where the work of removing a session's sandbox goes. */
  readonly taskQueue: string;
  /** Milliseconds since 1970. */
  readonly clock: () => number;
}

/** How often a runner's change is tried when others change the session at the same time. */
const MAX_TRIES = 5;

export function sessionDefinition({ mode, taskQueue, clock }: SessionDefinitionOptions): ResourceDefinition<Session> {
  return {
    kind: "Session",
    schema: SessionSchema,
    defaultScope: ApiResourceOwnerScope.organization,
    status: auditStatus,
    parentOf: ({ spec }) => spec?.agentInstanceId ?? "",
    normalize: ({ metadata, spec }, previous) => {
      if (spec?.workspaceDir && mode === "cloud") {
        const message = "only a local server works in a directory of yours";
        throw invalidField({ schema: SessionSchema, field: "spec.workspace_dir", message });
      }
      if (!spec || !previous?.spec) return;
      // Runners set these; a manifest that does not know them must not take the conversation's memory away.
      spec.threadId ||= previous.spec.threadId;
      spec.sandboxId ||= previous.spec.sandboxId;
      // Nor open to the machine what was made to be shut off from it.
      spec.sandboxType ||= previous.spec.sandboxType;
      if (spec.sandboxType === previous.spec.sandboxType) return;
      const had = `Session ${metadata?.slug ?? ""} was made with ${kindOf(previous.spec.sandboxType)}`;
      const message = `${had}, which can't become ${kindOf(spec.sandboxType)} (spec.sandbox_type): create another session`;
      throw new ConnectError(message, Code.FailedPrecondition);
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

function kindOf(type: SandboxType): string {
  return type === SandboxType.UNSPECIFIED ? "its runner's kind of sandbox" : `SANDBOX_TYPE_${SandboxType[type]}`;
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

  /** What a runner may store: where the conversation and the sandbox of the session are whose run it holds. */
  async function keepPlaces(given: Session, principal: Principal): Promise<Session> {
    const id = given.metadata?.id ?? "";
    if (id !== principal.holds?.sessionId) throw notFound("Session", id);
    for (let tries = 1; ; tries++) {
      const stored = await sessions.get(id, principal);
      if (!stored.spec) return stored;
      stored.spec.threadId = given.spec?.threadId || stored.spec.threadId;
      stored.spec.sandboxId = given.spec?.sandboxId || stored.spec.sandboxId;
      try {
        return await sessions.update(stored, principal);
      } catch (error) {
        // Somebody else was faster, and has changed something else.
        if (tries === MAX_TRIES || ConnectError.from(error).code !== Code.Aborted) throw error;
      }
    }
  }

  async function page(
    paged: PagedList & { readonly filter: Omit<ResourceFilter, "kind"> },
    request: PageRequest,
    context: HandlerContext,
  ): Promise<SessionList> {
    const { principal, view } = await callOf(context);
    const filter = { ...paged.filter, org: sessions.listedOrg(principal, paged.filter.org ?? "") };
    const { items, nextPageToken } = await readBoundPage({ ...paged, filter }, request, (unbound) =>
      sessions.select(filter, unbound, principal),
    );
    const totalPages = pagesOf(await sessions.count(filter, principal), request.pageSize);
    return create(SessionListSchema, { entries: items.map((item) => view(item)), nextPageToken, totalPages });
  }

  router.service(SessionCommandController, {
    apply,
    create: createSession,
    update: async (given, context) => {
      const { principal, view } = await callOf(context);
      return principal.role === "runner" ? view(await keepPlaces(given, principal)) : update(given, context);
    },
    delete: deleteById,
  });
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
