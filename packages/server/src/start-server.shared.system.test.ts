import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { type Client, createClient, type Interceptor } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { AgentCommandController } from "@stigmer/protos/agent/v1";
import {
  AgentExecutionCommandController,
  AgentExecutionQueryController,
  ExecutionPhase,
  type WatchAgentExecutionEvent,
} from "@stigmer/protos/agentexecution/v1";
import { createStatusFold, type StatusFold } from "@stigmer/status";
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from "vitest";
import { startTemporal, type TemporalDevServer } from "./__fixtures__/temporal-dev-server.ts";
import { createOwnRedis, type OwnRedis } from "./fanout/redis/__fixtures__/own-redis.ts";
import { given } from "./services/__fixtures__/open-test-server.ts";
import { type RunningServer, startServer } from "./start-server.ts";
import { createSchema, type Schema } from "./store/postgres/__fixtures__/schemas.ts";

// Two whole servers on one Postgres, with Temporal as their engine and a Redis between them.

const { EXECUTION_COMPLETED, EXECUTION_IN_PROGRESS } = ExecutionPhase;

let temporal: TemporalDevServer;
beforeAll(async () => {
  temporal = await startTemporal();
});
afterAll(() => temporal.dispose());

interface Caller {
  readonly server: RunningServer;
  readonly agents: Client<typeof AgentCommandController>;
  readonly executions: Client<typeof AgentExecutionCommandController> & Client<typeof AgentExecutionQueryController>;
}

let schema: Schema;
let redis: OwnRedis;
let homes: string[];
let a: Caller;
let b: Caller;
beforeEach(async () => {
  schema = await createSchema();
  redis = await createOwnRedis();
  await redis.start();
  homes = [];
  a = await start();
  b = await start();
  await becomes("live");
});
afterEach(async () => {
  for (const { server } of [a, b]) await server.close();
  await redis.kill();
  await schema.drop();
  for (const home of homes) await rm(home, { recursive: true });
});

async function start(): Promise<Caller> {
  const home = await mkdtemp(join(tmpdir(), "stigmer-shared-"));
  homes.push(home);
  const { address, namespace } = temporal;
  const server = await startServer({
    home,
    port: 0,
    encryptionKey: Buffer.alloc(32, 7),
    store: { type: "postgres", url: schema.url },
    engine: { type: "temporal", address, namespace, workflowTaskQueue: "workflows-shared" },
    fanout: { type: "redis", host: "127.0.0.1", port: redis.port, password: redis.password },
  });
  const withKey: Interceptor = (next) => (request) => {
    request.header.set("authorization", `Bearer ${server.apiKey}`);
    return next(request);
  };
  const transport = createGrpcTransport({ baseUrl: `http://${server.endpoint}`, interceptors: [withKey] });
  const commands = createClient(AgentExecutionCommandController, transport);
  const executions = Object.assign(commands, createClient(AgentExecutionQueryController, transport));
  return { server, agents: createClient(AgentCommandController, transport), executions };
}

async function becomes(state: "live" | "polling"): Promise<void> {
  for (const { server } of [a, b]) while ((await server.metrics()).fanout.state !== state) await sleep(20);
}

/** Reads one event after the other. */
function read<T>(events: AsyncIterable<T>): () => Promise<T> {
  const iterator = events[Symbol.asyncIterator]();
  return async () => {
    const { done, value } = await iterator.next();
    if (done) throw new Error("The stream has ended.");
    return value;
  };
}

it("shows on one server what comes to the other, also while Redis is away", async () => {
  const agent = await a.agents.create(given.agent("a"));
  const session = (await a.executions.create(given.execution({ agentId: agent.metadata?.id }))).spec?.sessionId ?? "";
  const nextOfSession = read(b.executions.watchSession({ sessionId: session }));
  const nextOfList = read(b.executions.watchList({}));
  for (const next of [nextOfSession, nextOfList]) {
    await next();
    expect(await next()).toMatchObject({ event: { case: "caughtUp" } });
  }

  const run = await a.executions.create(given.execution({ sessionId: session }));
  const executionId = run.metadata?.id ?? "";
  expect(await nextOfSession()).toMatchObject({ executionId, revision: 1, event: { case: "snapshot" } });
  expect(await nextOfList()).toMatchObject({ event: { case: "changed", value: { metadata: { id: executionId } } } });

  const seen: WatchAgentExecutionEvent[] = [];
  let fold: StatusFold | undefined;
  const watched = (async () => {
    for await (const event of b.executions.watch({ executionId })) {
      expect(event.revision).toBeGreaterThan(seen.at(-1)?.revision ?? 0);
      seen.push(event);
      if (event.event.case === "snapshot") fold = createStatusFold(event.event.value.status);
      else if (event.event.case === "delta") fold?.apply(event.event.value);
    }
  })();
  let inputTokens = 0;
  const write = async (count: number): Promise<void> => {
    for (let index = 0; index < count; index++) {
      await a.executions.updateStatus({
        executionId,
        status: { phase: EXECUTION_IN_PROGRESS, usage: { inputTokens: ++inputTokens } },
      });
    }
  };
  const shown = async (): Promise<void> => {
    while (fold?.status.usage?.inputTokens !== inputTokens) await sleep(10);
  };
  while (seen.length === 0) await sleep(10);
  await write(10);
  await shown();
  await redis.kill();
  await write(10);
  await becomes("polling");
  await write(10);
  await shown();
  expect((await b.server.metrics()).fanout.pollsTotal).toBeGreaterThan(0);
  await redis.start();
  await becomes("live");
  await a.executions.updateStatus({ executionId, status: { phase: EXECUTION_COMPLETED, error: "none" } });
  await watched;
  const stored = await b.executions.get({ value: executionId });
  expect(seen.at(-1)?.revision).toBe(stored.status?.revision);
  expect(seen.at(-1)?.stateHash).toBe(createStatusFold(stored.status).hash());
  expect(fold?.hash()).toBe(seen.at(-1)?.stateHash);

  await a.executions.delete({ value: executionId });
  for (;;) {
    const { event } = await nextOfList();
    if (event.case === "deleted") break;
  }
  for (;;) {
    const event = await nextOfSession();
    if (event.event.case === "deleted" && event.executionId === executionId) break;
  }
});
