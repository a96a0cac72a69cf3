import { create, toBinary } from "@bufbuild/protobuf";
import { Code, ConnectError, type ConnectRouter, type HandlerContext } from "@connectrpc/connect";
import type { Engine } from "@stigmer/engine";
import { ApiResourceOwnerScope } from "@stigmer/protos/apiresource";
import { CleanupSandboxTaskSchema } from "@stigmer/protos/runner/v1";
import {
  type Session,
  SessionCommandController,
  SessionListSchema,
  SessionQueryController,
  SessionSchema,
  type SessionList,
} from "@stigmer/protos/session/v1";
import type { Logger } from "../logger.ts";
import type { ResourceFilter } from "../store/resource-store.ts";
import type { StoreTransaction } from "../store/store.ts";
import { announceTask } from "./announce-task.ts";
import { auditStatus } from "./audit-status.ts";
import type { CallOf } from "./call.ts";
import { type PageRequest, pagesOf } from "./pages.ts";
import type { ResourceHandlers } from "./resource-handlers.ts";
import { metadataOf, missingReference, type ResourceDefinition, type Resources } from "./resources.ts";

export interface SessionDefinitionOptions {
  readonly mode: "local" | "cloud";
  /** Where the work of removing a session's sandbox goes. */
  readonly taskQueue: string;
  /** Milliseconds since 1970. */
  readonly clock: () => number;
}

/** The task that removes what a session left behind. */
function cleanupTaskId(sessionId: string): string {
  return `cleanup-${sessionId}`;
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
        throw new ConnectError(
          "spec.workspace_dir: only a local server works in a directory of yours",
          Code.InvalidArgument,
        );
      }
      if (!spec || !previous?.spec) return;
      // Runners set these; a manifest that does not know them must not take the conversation's memory away.
      spec.threadId ||= previous.spec.threadId;
      spec.sandboxId ||= previous.spec.sandboxId;
    },
    checkReferences: async (tx, { spec }) => {
      const id = spec?.agentInstanceId ?? "";
      const instance = await tx.resources.get("AgentInstance", id);
      if (!instance) throw missingReference("spec.agent_instance_id", "AgentInstance", id);
    },
    beforeDelete: async (tx, session) => {
      const { id, slug } = metadataOf(session);
      const running = await tx.executions.count({ sessionId: id, live: true });
      if (running > 0) {
        const text = `Session ${slug} has ${running} runs under way: cancel them or wait for their end`;
        throw new ConnectError(text, Code.FailedPrecondition);
      }
      await deleteExecutions(tx, id);
      const { sandboxId = "", workspaceDir = "" } = session.spec ?? {};
      const cleanup = create(CleanupSandboxTaskSchema, { sandboxId, workspaceDir, sessionId: id });
      await tx.tasks.enqueue({
        id: cleanupTaskId(id),
        kind: "cleanup-sandbox",
        queue: taskQueue,
        sessionId: id,
        payload: toBinary(CleanupSandboxTaskSchema, cleanup),
        createdAt: clock(),
      });
    },
  };
}

async function deleteExecutions(tx: StoreTransaction, sessionId: string): Promise<void> {
  for (;;) {
    const executions = await tx.executions.list({ sessionId }, { limit: 100 });
    if (executions.length === 0) return;
    for (const { id } of executions) await deleteExecution(tx, id);
  }
}

/** Removes a run with the contexts that were made for it. */
export async function deleteExecution(tx: StoreTransaction, id: string): Promise<void> {
  const contexts = await tx.resources.list({ kind: "ExecutionContext", parentId: id }, { limit: 1000 });
  for (const context of contexts) await tx.resources.delete("ExecutionContext", context.id);
  await tx.executions.delete(id);
}

export function registerSessions(
  router: ConnectRouter,
  options: {
    sessions: Resources<Session>;
    handlers: ResourceHandlers<Session>;
    callOf: CallOf;
    engine: Pick<Engine, "start">;
    logger: Logger;
  },
): void {
  const { sessions, handlers, callOf, engine, logger } = options;
  const { apply, create: createSession, update, deleteById, get } = handlers;

  async function page(
    filter: Omit<ResourceFilter, "kind">,
    request: PageRequest,
    context: HandlerContext,
  ): Promise<SessionList> {
    const { principal, view } = await callOf(context);
    const { items, nextPageToken } = await sessions.select(filter, request, principal);
    const totalPages = pagesOf(await sessions.count(filter, principal), request.pageSize);
    return create(SessionListSchema, { entries: items.map((item) => view(item)), nextPageToken, totalPages });
  }

  router.service(SessionCommandController, {
    apply,
    create: createSession,
    update,
    delete: async (id, context) => {
      const session = await deleteById(id, context);
      await announceTask(engine, cleanupTaskId(id.value), logger);
      return session;
    },
  });
  router.service(SessionQueryController, {
    get,
    list: (request, context) => {
      const { tags, labels, org } = request;
      return page({ tags, labels, org }, request, context);
    },
    listByAgent: (request, context) => page({ grandparentId: request.agentId }, request, context),
  });
}
