import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { type Client, createClient, type Interceptor, type Transport } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { type ActivityContext, ActivityStop } from "@stigmer/engine";
import { createEmbeddedWorker, type EmbeddedWorker } from "@stigmer/engine/embedded";
import { AgentCommandController } from "@stigmer/protos/agent/v1";
import {
  AgentExecutionCommandController,
  AgentExecutionQueryController,
  AgentExecutionStatusSchema,
  ExecutionPhase,
} from "@stigmer/protos/agentexecution/v1";
import { RunnerController } from "@stigmer/protos/runner/v1";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { silentLogger } from "./logger.ts";
import { given } from "./services/__fixtures__/open-test-server.ts";
import type { ServerMetrics } from "./open-engine.ts";
import { type RunningServer, startServer } from "./start-server.ts";

const { EXECUTION_PENDING, EXECUTION_IN_PROGRESS, EXECUTION_PAUSED, EXECUTION_COMPLETED, EXECUTION_CANCELLED } =
  ExecutionPhase;

let home: string;
let server: RunningServer;
let workers: EmbeddedWorker[];
const start = (): Promise<RunningServer> => startServer({ home, port: 0, engine: { reattachMs: 1, recoverMs: 50 } });
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), "stigmer-orders-"));
  workers = [];
  server = await start();
});
afterEach(async () => {
  await stopRunners();
  await server.close();
  await rm(home, { recursive: true });
});

async function stopRunners(): Promise<void> {
  await Promise.all(workers.map((worker) => worker.drain({ deadlineMs: 0 })));
  workers = [];
}

function transport(): Transport {
  const authorize: Interceptor = (next) => (request) => {
    request.header.set("authorization", `Bearer ${server.apiKey}`);
    return next(request);
  };
  return createGrpcTransport({ baseUrl: `http://${server.endpoint}`, interceptors: [authorize] });
}

type Executions = Client<typeof AgentExecutionCommandController> & Client<typeof AgentExecutionQueryController>;
const executions = (): Executions =>
  Object.assign(
    createClient(AgentExecutionCommandController, transport()),
    createClient(AgentExecutionQueryController, transport()),
  );

async function createRun(): Promise<string> {
  const agent = await createClient(AgentCommandController, transport()).apply(given.agent("a"));
  return (await executions().create(given.execution({ agentId: agent.metadata?.id }))).metadata?.id ?? "";
}

const phaseOf = async (id: string): Promise<number | undefined> =>
  (await executions().get({ value: id })).status?.phase;
const reaches = (id: string, phase: ExecutionPhase): Promise<void> =>
  vi.waitFor(async () => expect(await phaseOf(id)).toBe(phase), { timeout: 20_000, interval: 20 });

const settles = (metrics: Partial<ServerMetrics>): Promise<void> =>
  vi.waitFor(async () => expect(await server.metrics()).toMatchObject(metrics), { timeout: 20_000, interval: 20 });

/** What a runner tells of a run under its fence. */
async function tell(
  id: string,
  fence: number,
  phase: ExecutionPhase,
  { sequence, restsByItself = false }: { readonly sequence: number; readonly restsByItself?: boolean },
): Promise<void> {
  const delta = { changes: [{ change: { case: "run" as const, value: { phase, startedAt: "t0", restsByItself } } }] };
  await executions().patchStatus({ executionId: id, fence, sequence, delta });
}

type Run = (id: string, context: ActivityContext) => Promise<void>;

async function startRunner(run: Run): Promise<void> {
  const worker = createEmbeddedWorker({
    transport: transport(),
    runnerId: `runner-${Math.random()}`,
    maxConcurrency: 1,
    version: "1",
    logger: silentLogger,
    activities: {
      ensureThread: async () => "thread",
      executeGraphton: async (execution, _threadId, context) => {
        const id = execution.metadata?.id ?? "";
        await tell(id, context.fence, EXECUTION_IN_PROGRESS, { sequence: 1 });
        await run(id, context);
        await tell(id, context.fence, EXECUTION_COMPLETED, { sequence: 2 });
        return create(AgentExecutionStatusSchema, { phase: EXECUTION_COMPLETED });
      },
      cleanupSandbox: async () => {},
    },
  });
  workers.push(worker);
  worker.run().catch(() => {});
  await worker.ready;
}

/** Works until it is told to rest or to stop. */
const untilTold: Run = async (id, { pause, signal, fence }) => {
  await new Promise<void>((resolve) => {
    if (pause.aborted || signal.aborted) resolve();
    for (const told of [pause, signal]) told.addEventListener("abort", () => resolve(), { once: true });
  });
  if (signal.aborted) throw signal.reason;
  await tell(id, fence, EXECUTION_PAUSED, { sequence: 2 });
  throw pause.reason;
};

it("rests where its runner left it, over a restart, goes on, and ends when it is cancelled at rest", async () => {
  const id = await createRun();
  await startRunner(untilTold);
  await reaches(id, EXECUTION_IN_PROGRESS);
  await executions().pause({ executionId: id, reason: "lunch" });
  await reaches(id, EXECUTION_PAUSED);
  await settles({ paused: 1, leased: 0, waiting: 0 });
  await stopRunners();
  await server.close();
  server = await start();
  await startRunner(untilTold);
  expect(await phaseOf(id)).toBe(EXECUTION_PAUSED);
  await executions().resume({ executionId: id });
  await reaches(id, EXECUTION_IN_PROGRESS);
  await executions().pause({ executionId: id });
  await reaches(id, EXECUTION_PAUSED);
  await executions().cancel({ executionId: id, reason: "enough" });
  await reaches(id, EXECUTION_CANCELLED);
  await settles({ paused: 0, leased: 0, waiting: 0 });
});

it("goes on at once when it paused by itself and somebody who watched said so", async () => {
  const id = await createRun();
  let tries = 0;
  await startRunner(async (run, { fence }) => {
    if (++tries > 1) return;
    await tell(run, fence, EXECUTION_PAUSED, { sequence: 2 });
    throw new ActivityStop("paused", "Nobody knows whether the mail was sent.");
  });
  for await (const { status } of executions().subscribe({ value: id })) {
    if (status?.phase === EXECUTION_PAUSED) await executions().resume({ executionId: id });
  }
  expect(await phaseOf(id)).toBe(EXECUTION_COMPLETED);
  expect(tries).toBe(2);
});

/** A runner that takes the run, and dies when that is called. */
async function startMortal(id: string, fence: number): Promise<() => void> {
  const gone = new AbortController();
  const runner = createClient(RunnerController, transport());
  const capacity = { runnerId: `dying-${fence}`, taskQueue: "agent_execution_runner", maxConcurrency: 1 };
  const events = runner.takeLeases(capacity, { signal: gone.signal })[Symbol.asyncIterator]();
  await events.next();
  const { value: leased } = await events.next();
  expect(leased).toMatchObject({ event: { case: "lease", value: { taskId: id, fence } } });
  return () => gone.abort();
}

it("is not gone on with when its runner dies as it rests by itself, before it could hand it back", async () => {
  const id = await createRun();
  let die = await startMortal(id, 1);
  await tell(id, 1, EXECUTION_PAUSED, { sequence: 1, restsByItself: true });
  die();
  await settles({ paused: 1, leased: 0, waiting: 0 });
  await server.close();
  server = await start();
  const other = await createRun();
  let tries = 0;
  await startRunner(async (run) => void (tries += Number(run === id)));
  await reaches(other, EXECUTION_COMPLETED);
  expect([await phaseOf(id), tries]).toEqual([EXECUTION_PAUSED, 0]);
  await stopRunners();
  await executions().resume({ executionId: id });
  die = await startMortal(id, 2);
  await tell(id, 2, EXECUTION_PAUSED, { sequence: 1, restsByItself: true });
  // Answered as soon as it was seen, which is before the queue knows.
  await executions().resume({ executionId: id });
  die();
  await startRunner(async (run) => void (tries += Number(run === id)));
  await reaches(id, EXECUTION_COMPLETED);
  expect(tries).toBe(1);
});

it("is shown as paused when its runner dies on the way to its rest", async () => {
  const id = await createRun();
  const die = await startMortal(id, 1);
  await tell(id, 1, EXECUTION_IN_PROGRESS, { sequence: 1 });
  await executions().pause({ executionId: id });
  expect(await phaseOf(id)).toBe(EXECUTION_IN_PROGRESS);
  die();
  await reaches(id, EXECUTION_PAUSED);
  await executions().resume({ executionId: id });
  expect(await phaseOf(id)).toBe(EXECUTION_IN_PROGRESS);
  await startRunner(async () => {});
  await reaches(id, EXECUTION_COMPLETED);
});

it("rests before it began, and hears what it was told meanwhile", async () => {
  const id = await createRun();
  await executions().pause({ executionId: id });
  await executions().sendMessage({ executionId: id, messageId: "m1", text: "And look at this." });
  const heard: string[] = [];
  await startRunner(async (_id, { inbox }) => void heard.push(...inbox.items.map((item) => item.id)));
  expect(await phaseOf(id)).toBe(EXECUTION_PAUSED);
  const resumed = await executions().resume({ executionId: id });
  expect([EXECUTION_PENDING, EXECUTION_IN_PROGRESS, EXECUTION_COMPLETED]).toContain(resumed.status?.phase);
  await reaches(id, EXECUTION_COMPLETED);
  expect(heard).toEqual(["m1"]);
});
