import { create } from "@bufbuild/protobuf";
import type { ServiceImpl } from "@connectrpc/connect";
import {
  type AgentExecutionQueryController,
  WatchAgentExecutionEventSchema,
  WatchAgentExecutionListEventSchema,
  WatchSessionEventSchema,
} from "@stigmer/protos/agentexecution/v1";
import type { ListEvent } from "../executions/follow-list.ts";
import type { SessionEvent } from "../executions/follow-session.ts";
import { assembleExecution, summarizeExecution } from "../executions/read-execution.ts";
import type { RunStatuses } from "../executions/run-statuses.ts";
import type { RunEvent } from "../executions/watcher.ts";
import type { ExecutionRecord } from "../store/execution-store.ts";
import type { Store } from "../store/store.ts";
import type { Access } from "./access.ts";
import type { AgentExecutions } from "./agent-executions.ts";
import type { Call, CallOf } from "./call.ts";
import { pageSizeOf } from "./pages.ts";
import { notFound } from "./resources.ts";

export interface WatchMethodsOptions {
  readonly executions: Pick<AgentExecutions, "find">;
  readonly store: Pick<Store, "resources">;
  readonly runs: Pick<RunStatuses, "follow" | "followSession" | "followList">;
  readonly access: Access;
  readonly callOf: CallOf;
}

type WatchMethods = Pick<
  ServiceImpl<typeof AgentExecutionQueryController>,
  "subscribe" | "watch" | "watchSession" | "watchList"
>;

/** The methods of the query service that follow what happens. */
export function createWatchMethods({ executions, store, runs, access, callOf }: WatchMethodsOptions): WatchMethods {
  return {
    async *subscribe({ value }, context) {
      const { principal, view, signal } = await callOf(context);
      const record = await executions.find(value, principal);
      for await (const event of runs.follow(value, { mode: "whole", signal })) {
        if (event.kind === "snapshot") yield view(assembleExecution(record, event.status));
      }
    },
    async *watch({ executionId, afterRevision }, context) {
      const { principal, view, signal } = await callOf(context);
      const record = await executions.find(executionId, principal);
      for await (const event of runs.follow(executionId, { mode: "deltas", afterRevision, signal })) {
        const { revision, stateHash } = event;
        yield create(WatchAgentExecutionEventSchema, { revision, stateHash, event: eventOf(event, record, view) });
      }
    },
    async *watchSession({ sessionId, afterRevisions }, context) {
      const { principal, view, signal } = await callOf(context);
      const session = await store.resources.get("Session", sessionId);
      if (!session || !access.canRead(principal, session)) throw notFound("Session", sessionId);
      for await (const event of runs.followSession({ sessionId, afterRevisions, signal })) {
        yield create(WatchSessionEventSchema, sessionEventOf(event, view));
      }
    },
    async *watchList({ org, agentId, pageSize }, context) {
      const { principal, view, signal } = await callOf(context);
      const list = { org: access.listedOrg(principal, org), agentId: agentId || undefined };
      for await (const event of runs.followList({ ...list, newest: pageSizeOf(pageSize), signal })) {
        yield create(WatchAgentExecutionListEventSchema, { event: listEventOf(event, view) });
      }
    },
  };
}

type View = Call["view"];

function eventOf(event: RunEvent, record: ExecutionRecord, view: View) {
  if (event.kind === "delta") return { case: "delta" as const, value: event.delta };
  return { case: "snapshot" as const, value: view(assembleExecution(record, event.status)) };
}

function sessionEventOf(event: SessionEvent, view: View) {
  switch (event.kind) {
    case "run": {
      const { revision, stateHash } = event.event;
      return { executionId: event.record.id, revision, stateHash, event: eventOf(event.event, event.record, view) };
    }
    case "deleted":
      return { executionId: event.executionId, event: { case: "deleted" as const, value: {} } };
    case "caught-up":
      return { event: { case: "caughtUp" as const, value: {} } };
  }
}

function listEventOf(event: ListEvent, view: View) {
  switch (event.kind) {
    case "changed":
      return { case: "changed" as const, value: view(summarizeExecution(event.record)) };
    case "deleted":
      return { case: "deleted" as const, value: event.executionId };
    case "caught-up":
      return { case: "caughtUp" as const, value: {} };
  }
}
