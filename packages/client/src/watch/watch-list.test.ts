import { create } from "@bufbuild/protobuf";
import { Code, ConnectError, createClient, createRouterTransport, type ServiceImpl } from "@connectrpc/connect";
import {
  AgentExecutionQueryController,
  ExecutionPhase,
  WatchAgentExecutionListEventSchema,
  type WatchAgentExecutionListEvent,
} from "@stigmer/protos/agentexecution/v1";
import { expect, it } from "vitest";
import { watchList, type ListUpdate } from "./watch-list.ts";

const { EXECUTION_PENDING, EXECUTION_IN_PROGRESS, EXECUTION_COMPLETED } = ExecutionPhase;

const changed = (id: string, phase: ExecutionPhase, revision = 1): WatchAgentExecutionListEvent =>
  create(WatchAgentExecutionListEventSchema, {
    event: { case: "changed", value: { metadata: { id }, status: { phase, revision } } },
  });
const deleted = (id: string): WatchAgentExecutionListEvent =>
  create(WatchAgentExecutionListEventSchema, { event: { case: "deleted", value: id } });
const caughtUp = create(WatchAgentExecutionListEventSchema, { event: { case: "caughtUp", value: {} } });

function show(update: ListUpdate): string {
  if (update.kind === "caught-up") return "caught up";
  if (update.kind === "removed") return `${update.executionId} removed`;
  return `${update.executionId} ${ExecutionPhase[update.execution.status?.phase ?? 0]?.replace("EXECUTION_", "")}`;
}

it("tells a list, and after a break only what changed meanwhile, or is gone", async () => {
  const asked: unknown[] = [];
  const watch: ServiceImpl<typeof AgentExecutionQueryController>["watchList"] = async function* ({
    org,
    agentId,
    pageSize,
  }) {
    asked.push([org, agentId, pageSize]);
    if (asked.length === 1) {
      yield changed("aex-1", EXECUTION_COMPLETED);
      yield changed("aex-2", EXECUTION_IN_PROGRESS);
      yield changed("aex-3", EXECUTION_PENDING);
      yield caughtUp;
      yield deleted("aex-1");
      yield deleted("aex-unknown");
      throw new ConnectError("gone", Code.Unavailable);
    }
    yield changed("aex-2", EXECUTION_IN_PROGRESS);
    yield changed("aex-4", EXECUTION_PENDING);
    yield caughtUp;
    yield changed("aex-2", EXECUTION_COMPLETED, 2);
    await new Promise(() => {});
  };
  const transport = createRouterTransport((router) => {
    router.service(AgentExecutionQueryController, { watchList: watch });
  });
  const client = createClient(AgentExecutionQueryController, transport);
  const shown: string[] = [];
  for await (const update of watchList(client, { org: "acme", agentId: "agt-1" }, { pageSize: 7 })) {
    shown.push(show(update));
    if (shown.at(-1) === "aex-2 COMPLETED") break;
  }
  expect(shown).toEqual([
    "aex-1 COMPLETED",
    "aex-2 IN_PROGRESS",
    "aex-3 PENDING",
    "caught up",
    "aex-1 removed",
    "aex-4 PENDING",
    "aex-3 removed",
    "aex-2 COMPLETED",
  ]);
  expect(asked).toEqual([
    ["acme", "agt-1", 7],
    ["acme", "agt-1", 7],
  ]);
});
