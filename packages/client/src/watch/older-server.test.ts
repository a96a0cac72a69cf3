import { create } from "@bufbuild/protobuf";
import { AgentExecutionStatusSchema, ExecutionPhase, StatusDeltaSchema } from "@stigmer/protos/agentexecution/v1";
import { expect, it } from "vitest";
import { createOlderServer } from "../__fixtures__/older-server.ts";
import { createResourceClients } from "../resource-clients.ts";
import { sendStatus } from "../send-status.ts";
import type { SessionUpdate } from "./session-run.ts";
import type { ListUpdate } from "./watch-list.ts";

const { EXECUTION_COMPLETED, EXECUTION_PENDING } = ExecutionPhase;
const executionsOf = (server: ReturnType<typeof createOlderServer>) =>
  createResourceClients(server.transport, { org: "local", ownOrg: "" }).executions;

function show(update: SessionUpdate | ListUpdate): string {
  switch (update.kind) {
    case "run":
      return `${update.executionId} ${update.phase} ${update.text}`.trim();
    case "changed":
      return `${update.executionId} ${ExecutionPhase[update.execution.status?.phase ?? 0]}`;
    case "removed":
      return `${update.executionId} removed`;
    case "caught-up":
      return "caught up";
  }
}

/** Takes what comes, in any order, until all that is expected has come. */
async function take(updates: AsyncGenerator<SessionUpdate | ListUpdate>, expected: string[]): Promise<void> {
  const missing = new Set(expected);
  while (missing.size > 0) {
    const { value, done } = await updates.next();
    if (done) throw new Error(`ended without ${[...missing].join(", ")}`);
    missing.delete(show(value));
  }
}

it("a run is followed by whole executions", async () => {
  const server = createOlderServer();
  server.set("aex-1", { said: "Hel" });
  let text = "";
  for await (const update of executionsOf(server).watch("aex-1")) {
    text += update.text;
    if (text === "Hel") server.set("aex-1", { said: "Hello" });
    if (text === "Hello") server.set("aex-1", { said: "Hello, you", phase: EXECUTION_COMPLETED });
  }
  expect(text).toBe("Hello, you");
  expect(server.called).toEqual(["subscribe"]);
});

it("a session is followed by looking at its runs, and following those under way", async () => {
  const server = createOlderServer();
  server.set("aex-1", { sessionId: "ses-1", said: "Done", phase: EXECUTION_COMPLETED });
  server.set("aex-2", { sessionId: "ses-1", said: "Wor" });
  server.set("aex-3", { sessionId: "ses-2", said: "of another session" });
  const updates = executionsOf(server).watchSession("ses-1", { pollEveryMs: 10 });
  await take(updates, ["aex-1 completed Done", "aex-2 in-progress Wor", "caught up"]);
  server.set("aex-2", { said: "Working" });
  await take(updates, ["aex-2 in-progress king"]);
  server.restart();
  server.set("aex-2", { said: "Working", phase: EXECUTION_COMPLETED });
  await take(updates, ["aex-2 completed"]);
  server.set("aex-4", { sessionId: "ses-1", said: "New" });
  await take(updates, ["aex-4 in-progress New"]);
  server.delete("aex-1");
  await take(updates, ["aex-1 removed"]);
  server.delete("aex-4");
  await take(updates, ["aex-4 removed"]);
  await updates.return();
  expect(new Set(server.called)).toEqual(new Set(["listBySession", "subscribe"]));
});

it("a list is followed by looking at it", async () => {
  const server = createOlderServer();
  // Older than the page, but under way.
  server.set("aex-01", { agentId: "agt-1", phase: EXECUTION_PENDING });
  for (const id of ["aex-02", "aex-03", "aex-04"]) server.set(id, { agentId: "agt-1", phase: EXECUTION_COMPLETED });
  server.set("aex-05", { agentId: "agt-2" });
  const updates = executionsOf(server).watchList({
    agent: "agt-01m7yp6m06v3nf22f78h88f1ad",
    pollEveryMs: 10,
    pageSize: 2,
  });
  // An agent without runs: all there is to tell is that there are none.
  await take(updates, ["caught up"]);
  await updates.return();

  const all = executionsOf(server).watchList({ pollEveryMs: 10, pageSize: 2 });
  await take(all, [
    "aex-01 EXECUTION_PENDING",
    "aex-04 EXECUTION_COMPLETED",
    "aex-05 EXECUTION_IN_PROGRESS",
    "caught up",
  ]);
  server.set("aex-01", { phase: EXECUTION_COMPLETED });
  await take(all, ["aex-01 EXECUTION_COMPLETED"]);
  server.set("aex-06", { agentId: "agt-1" });
  await take(all, ["aex-06 EXECUTION_IN_PROGRESS"]);
  server.delete("aex-06");
  await take(all, ["aex-06 removed"]);
  // Pushed out of the page by then, and not taken for deleted.
  server.set("aex-07", {});
  server.set("aex-08", {});
  const rest: string[] = [];
  for await (const update of all) {
    rest.push(show(update));
    if (rest.includes("aex-08 EXECUTION_IN_PROGRESS")) break;
  }
  expect(rest.filter((update) => update.endsWith("removed"))).toEqual([]);
  expect(new Set(server.called)).toEqual(new Set(["list", "get"]));
});

it("a runner's changes are sent as a whole status", async () => {
  const server = createOlderServer();
  server.set("aex-1", {});
  const executions = executionsOf(server);
  const status = create(AgentExecutionStatusSchema, { phase: EXECUTION_COMPLETED, error: "" });
  const send = sendStatus({ executions, executionId: "aex-1", fence: 1, wholeStatus: () => status });
  await send(create(StatusDeltaSchema), 1);
  expect((await executions.get("aex-1")).status?.phase).toBe(EXECUTION_COMPLETED);
  expect(server.called).toEqual(["updateStatus", "get"]);
});
