// A run and its lease to a free runner are one commit, on a running server with its own engine and SQLite.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { type Client, Code, createClient, type Interceptor } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { AgentCommandController } from "@stigmer/protos/agent/v1";
import { AgentExecutionCommandController, AgentExecutionQueryController } from "@stigmer/protos/agentexecution/v1";
import { RunnerController } from "@stigmer/protos/runner/v1";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { type RunningServer, startServer } from "../start-server.ts";
import { given } from "./__fixtures__/open-test-server.ts";

let home: string;
let server: RunningServer;
let runner: Client<typeof RunnerController>;
let executions: Client<typeof AgentExecutionCommandController> & Client<typeof AgentExecutionQueryController>;
let agentId: string | undefined;
const streams: AbortController[] = [];

beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), "stigmer-lease-with-run-"));
  server = await startServer({ home, port: 0 });
  const { endpoint, apiKey } = server;
  const authorize: Interceptor = (next) => (request) => {
    request.header.set("authorization", `Bearer ${apiKey}`);
    return next(request);
  };
  const transport = createGrpcTransport({ baseUrl: `http://${endpoint}`, interceptors: [authorize] });
  runner = createClient(RunnerController, transport);
  executions = Object.assign(
    createClient(AgentExecutionCommandController, transport),
    createClient(AgentExecutionQueryController, transport),
  );
  agentId = (await createClient(AgentCommandController, transport).apply(given.agent("a"))).metadata?.id;
});
afterEach(async () => {
  vi.restoreAllMocks();
  for (const stream of streams.splice(0)) stream.abort();
  await server.close();
  await rm(home, { recursive: true });
});

/** What an attached runner hears: `lease <task>`, `pause <task>` and so on. */
async function attach(maxConcurrency = 8): Promise<() => Promise<string>> {
  const stop = new AbortController();
  streams.push(stop);
  const offer = { runnerId: "r1", taskQueue: "agent_execution_runner", maxConcurrency, held: [] };
  const events = runner.takeLeases(offer, { signal: stop.signal })[Symbol.asyncIterator]();
  const next = async (): Promise<string> => {
    const { value } = await events.next();
    const event = (value as { event?: { case?: string; value?: { taskId?: string; signal?: { case?: string } } } })
      .event;
    const what = event?.case === "signal" ? event.value?.signal?.case : event?.case;
    return [what, event?.value?.taskId].filter(Boolean).join(" ");
  };
  expect(await next()).toBe("attached");
  return next;
}

const create = async (spec: { sessionId?: string | undefined } = {}): Promise<{ id: string; sessionId: string }> => {
  const { metadata, spec: made } = await executions.create(
    given.execution(spec.sessionId === undefined ? { agentId } : spec),
  );
  return { id: metadata?.id ?? "", sessionId: made?.sessionId ?? "" };
};

const complete = (taskId: string): Promise<unknown> =>
  runner.completeLease({
    runnerId: "r1",
    lease: { taskId, fence: 1 },
    outcome: { case: "status", value: { phase: 3 } },
  });

function commits(): () => number {
  const exec = vi.spyOn(DatabaseSync.prototype, "exec");
  return () => exec.mock.calls.filter(([text]) => text === "COMMIT").length;
}

it("takes one commit until a free runner has it", async () => {
  const next = await attach();
  await create();
  await next();
  const made = commits();
  const { id } = await create();
  expect(await next()).toBe(`lease ${id}`);
  expect(made()).toBe(1);
});

it("takes one where no runner is free, which gets it when it is", async () => {
  const next = await attach(1);
  const first = await create();
  expect(await next()).toBe(`lease ${first.id}`);
  const made = commits();
  const second = await create();
  expect(made()).toBe(1);
  expect(await server.metrics()).toMatchObject({ waiting: 1, leased: 1 });
  await complete(first.id);
  expect(await next()).toBe(`lease ${second.id}`);
});

it("gives the runner what waits longer, and the new one to whom is free then", async () => {
  const waiting = [await create(), await create()];
  const next = await attach(2);
  expect(await next()).toBe(`lease ${waiting[0]?.id}`);
  expect(await next()).toBe(`lease ${waiting[1]?.id}`);
  const third = await create();
  await complete(waiting[1]?.id ?? "");
  expect(await next()).toBe(`lease ${third.id}`);
});

it("keeps to one run of a session at a time", async () => {
  const next = await attach();
  const first = await create();
  expect(await next()).toBe(`lease ${first.id}`);
  const second = await create({ sessionId: first.sessionId });
  const other = await create();
  expect(await next()).toBe(`lease ${other.id}`);
  await complete(first.id);
  expect(await next()).toBe(`lease ${second.id}`);
});

it("leases nothing of a run that is refused, and the next one as always", async () => {
  const next = await attach();
  await expect(create({ sessionId: "ses-none" })).rejects.toMatchObject({ code: Code.NotFound });
  expect(await server.metrics()).toMatchObject({ waiting: 0, leased: 0 });
  const { id } = await create();
  expect(await next()).toBe(`lease ${id}`);
});

it("reaches the runner with what is asked of the run at once", async () => {
  const next = await attach();
  const paused = await create();
  await executions.pause({ executionId: paused.id, reason: "lunch" });
  const cancelled = await create();
  await executions.cancel({ executionId: cancelled.id, reason: "enough" });
  const heard = [await next(), await next(), await next(), await next()];
  expect(heard).toEqual([
    `lease ${paused.id}`,
    `pause ${paused.id}`,
    `lease ${cancelled.id}`,
    `cancel ${cancelled.id}`,
  ]);
});

it("gives a run back that a runner was to have whose stream ended meanwhile", async () => {
  await attach();
  const creating = Promise.all([create(), create(), create()]);
  for (const stream of streams.splice(0)) stream.abort();
  const made = (await creating).map(({ id }) => id).sort();
  const next = await attach();
  const heard = [await next(), await next(), await next()].sort();
  expect(heard).toEqual(made.map((id) => `lease ${id}`));
});
