import { create, toBinary } from "@bufbuild/protobuf";
import type { ConnectRouter, HandlerContext } from "@connectrpc/connect";
import {
  AgentExecutionCommandController,
  type AgentExecutionList,
  AgentExecutionListSchema,
  AgentExecutionQueryController,
  AgentExecutionStatusSchema,
  ExecutionPhase,
  ListAgentExecutionsBySessionRequestSchema,
  ListAgentExecutionsRequestSchema,
  PatchStatusOutputSchema,
  StatusDeltaSchema,
} from "@stigmer/protos/agentexecution/v1";
import { readTraceparent, traceparentHere } from "@stigmer/telemetry";
import { assembleExecution, summarizeExecution } from "../executions/read-execution.ts";
import type { RunStatuses } from "../executions/run-statuses.ts";
import { boundTo } from "../interceptors/authorize.ts";
import type { Principal } from "../interceptors/principal.ts";
import type { ExecutionFilter, ExecutionRecord } from "../store/execution-store.ts";
import type { Store } from "../store/store.ts";
import type { Access } from "./access.ts";
import type { AgentExecutions } from "./agent-executions.ts";
import type { Call, CallOf } from "./call.ts";
import type { ImplicitClaim } from "./implicit-claims.ts";
import type { LargeCounts } from "./large-counts.ts";
import { type PagedList, readBoundPage } from "./page-tokens.ts";
import { MAX_PAGE_BYTES, type PageRequest, pagesOf, pageTokenAfter, readPage } from "./pages.ts";
import { createWatchMethods } from "./watch-methods.ts";

export interface AgentExecutionServicesOptions {
  readonly executions: AgentExecutions;
  readonly store: Pick<Store, "executions" | "resources">;
  readonly runs: RunStatuses;
  readonly access: Access;
  readonly callOf: CallOf;
  readonly counts: LargeCounts;
  readonly claim: ImplicitClaim;
}

export function registerAgentExecutions(router: ConnectRouter, options: AgentExecutionServicesOptions): void {
  const { executions, runs, callOf } = options;

  router.service(AgentExecutionCommandController, {
    create: async (given, context) => {
      // Kept for the run, whoever works on it; a server that is not traced itself hands on what it was told.
      given.traceparent = traceparentHere() || readTraceparent(context.requestHeader.get("traceparent"));
      const { principal, view } = await callOf(context);
      return view(await executions.create(given, principal));
    },
    update: async (given, context) => {
      const { principal, view } = await callOf(context);
      return view(await executions.update(given, principal));
    },
    delete: async ({ value }, context) => {
      const { principal, view } = await callOf(context);
      return view(await executions.delete(value, principal));
    },
    cancel: async ({ executionId, reason }, context) => {
      const { principal, view } = await callOf(context);
      return view(await executions.cancel(executionId, reason, principal));
    },
    pause: async ({ executionId, reason }, context) => {
      const { principal, view } = await callOf(context);
      return view(await executions.pause(executionId, reason, principal));
    },
    resume: async ({ executionId }, context) => {
      const { principal, view } = await callOf(context);
      return view(await executions.resume(executionId, principal));
    },
    sendMessage: async ({ executionId, messageId, text }, context) => {
      const { principal, view } = await callOf(context);
      return view(await executions.sendMessage(executionId, { messageId, text }, principal));
    },
    resolveApproval: async (given, context) => {
      const { principal, view } = await callOf(context);
      return view(await executions.resolveApproval(given, principal));
    },
    updateStatus: async ({ executionId, status = create(AgentExecutionStatusSchema) }, context) => {
      const call = await callOf(context);
      const principal = await reporterOf(options, { executionId, principal: call.principal }, context);
      await executions.find(executionId, principal);
      await runs.merge(executionId, status, principal.holds?.fence);
      return call.view(await executions.get(executionId, principal));
    },
    patchStatus: async ({ executionId, fence, sequence, delta = create(StatusDeltaSchema) }, context) => {
      await callOf(context);
      const revision = await runs.patch({ executionId, fence, sequence, delta });
      return create(PatchStatusOutputSchema, { revision });
    },
  });

  router.service(AgentExecutionQueryController, {
    get: async ({ value }, context) => {
      const { principal, view } = await callOf(context);
      return view(await executions.get(value, principal));
    },
    list: async ({ phase, tags, labels, sessionId, agentId, org, pageSize, pageToken }, context) => {
      const call = await callOf(context);
      const filter = {
        tags,
        labels,
        phase: phase === ExecutionPhase.EXECUTION_PHASE_UNSPECIFIED ? undefined : phase,
        sessionId: sessionId || undefined,
        agentId: agentId || undefined,
        org,
      };
      const paged = { list: "AgentExecution", filter, schema: ListAgentExecutionsRequestSchema };
      return listSummaries(options, { call, paged, page: { pageSize, pageToken } });
    },
    listBySession: async ({ sessionId, pageSize, pageToken }, context) => {
      const call = await callOf(context);
      const paged = {
        list: "AgentExecution",
        filter: { sessionId },
        schema: ListAgentExecutionsBySessionRequestSchema,
      };
      return listWhole(options, { call, paged, page: { pageSize, pageToken } });
    },
    ...createWatchMethods(options),
  });
}

/** Who reports a run's status, bound to the run also when no fence was shown. */
async function reporterOf(
  { claim }: AgentExecutionServicesOptions,
  { executionId, principal }: { readonly executionId: string; readonly principal: Principal },
  context: HandlerContext,
): Promise<Principal> {
  if (principal.role !== "runner" || principal.holds) return principal;
  return boundTo(principal, await claim(executionId, principal, context));
}

interface ListOptions {
  readonly call: Call;
  readonly paged: PagedList & { readonly filter: ExecutionFilter };
  readonly page: PageRequest;
}

/** Runs without what was said in them, which a list does not show. */
async function listSummaries(options: AgentExecutionServicesOptions, given: ListOptions): Promise<AgentExecutionList> {
  const list = scoped(options, given);
  return readBoundPage(list.paged, list.page, async (page) => {
    const { records, nextPageToken, totalPages } = await readRecords(options, list, page);
    const entries = records.map((record) => list.call.view(summarizeExecution(record)));
    return create(AgentExecutionListSchema, { entries, nextPageToken, totalPages });
  });
}

/** Whole runs, as a conversation is read. */
async function listWhole(options: AgentExecutionServicesOptions, given: ListOptions): Promise<AgentExecutionList> {
  const list = scoped(options, given);
  return readBoundPage(list.paged, list.page, async (page) => {
    const { records, nextPageToken, totalPages } = await readRecords(options, list, page);
    const whole = create(AgentExecutionListSchema, { nextPageToken, totalPages });
    let bytes = 0;
    for (const [index, record] of records.entries()) {
      const status = await options.runs.read(record.id);
      if (!status) continue;
      bytes += toBinary(AgentExecutionStatusSchema, status).length;
      const previous = records[index - 1];
      if (bytes > MAX_PAGE_BYTES && previous) return Object.assign(whole, { nextPageToken: pageTokenAfter(previous) });
      whole.entries.push(list.call.view(assembleExecution(record, status)));
    }
    return whole;
  });
}

/** The list of the caller's organisation, for rows, counts and page tokens alike. */
function scoped({ access }: AgentExecutionServicesOptions, { call, paged, page }: ListOptions): ListOptions {
  const org = access.listedOrg(call.principal, paged.filter.org ?? "");
  return { call, page, paged: { ...paged, filter: { ...paged.filter, org } } };
}

async function readRecords(
  { store, counts }: AgentExecutionServicesOptions,
  { paged: { filter } }: ListOptions,
  page: PageRequest,
): Promise<{ records: ExecutionRecord[]; nextPageToken: string; totalPages: number }> {
  const { items, nextPageToken } = await readPage(page, (query) => store.executions.list(filter, query));
  const count = await counts.count(filter, (limit) => store.executions.count(filter, limit));
  const totalPages = pagesOf(count, page.pageSize);
  return { records: items, nextPageToken, totalPages };
}
