import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type AddressInfo } from "node:net";
import { once } from "node:events";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { type Client, Code, createClient, type Interceptor, type Transport } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { type Activities, type ActivityContext, type CleanupSandboxInput } from "@stigmer/engine";
import { createTemporalWorker, type TemporalWorker } from "@stigmer/engine/temporal";
import { AgentCommandController } from "@stigmer/protos/agent/v1";
import {
  type AgentExecution,
  AgentExecutionCommandController,
  AgentExecutionQueryController,
  AgentExecutionStatusSchema,
  ExecutionPhase,
} from "@stigmer/protos/agentexecution/v1";
import { ExecutionContextQueryController } from "@stigmer/protos/executioncontext/v1";
import { RunnerController, ToolCallClass } from "@stigmer/protos/runner/v1";
import { SessionCommandController, SessionQueryController } from "@stigmer/protos/session/v1";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { startTemporal, type TemporalDevServer } from "./__fixtures__/temporal-dev-server.ts";
import { silentLogger } from "./logger.ts";
import { given } from "./services/__fixtures__/open-test-server.ts";
import { type RunningServer, startServer } from "./start-server.ts";

const { EXECUTION_IN_PROGRESS, EXECUTION_PAUSED, EXECUTION_COMPLETED, EXECUTION_CANCELLED } = ExecutionPhase;

let temporal: TemporalDevServer;
beforeAll(async () => {
  temporal = await startTemporal();
});
afterAll(() => temporal.dispose());

let home: string;
let server: RunningServer;
let workers: TemporalWorker[];
let queues = 0;
let taskQueue: string;
const start = (): Promise<RunningServer> =>
  startServer({
    home,
    port: 0,
    taskQueue,
    engine: {
      type: "temporal",
      address: temporal.address,
      namespace: temporal.namespace,
      workflowTaskQueue: `workflows-${taskQueue}`,
      heartbeatTimeoutMs: 2_000,
      retryDelayMs: 10,
    },
  });
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), "stigmer-temporal-server-"));
  workers = [];
  taskQueue = `runners-${++queues}`;
  server = await start();
});
afterEach(async () => {
  await Promise.all(workers.map((worker) => worker.drain({ deadlineMs: 0 })));
  await server.close();
  await rm(home, { recursive: true });
});

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

async function createRun(spec: object = {}): Promise<{ id: string; sessionId: string }> {
  const agent = await createClient(AgentCommandController, transport()).apply(given.agent("a"));
  const run = await executions().create(given.execution({ agentId: agent.metadata?.id, ...spec }));
  return { id: run.metadata?.id ?? "", sessionId: run.spec?.sessionId ?? "" };
}

const phaseOf = async (id: string): Promise<number | undefined> =>
  (await executions().get({ value: id })).status?.phase;
const reaches = (id: string, phase: ExecutionPhase): Promise<void> =>
  vi.waitFor(async () => expect(await phaseOf(id)).toBe(phase), { timeout: 60_000, interval: 50 });

/** What a runner tells of a run under its fence. */
async function tell(id: string, { fence }: ActivityContext, phase: ExecutionPhase, sequence: number): Promise<void> {
  const delta = { changes: [{ change: { case: "run" as const, value: { phase, startedAt: "t0" } } }] };
  await executions().patchStatus({ executionId: id, fence, sequence, delta });
}

/** Of all attempts. */
const threads: string[] = [];

type Run = (id: string, context: ActivityContext, execution: AgentExecution) => Promise<void>;

async function startRunner(run: Run, cleaned: CleanupSandboxInput[] = []): Promise<TemporalWorker> {
  const activities: Activities = {
    ensureThread: async () => {
      throw new Error("The server has named the thread.");
    },
    executeGraphton: async (execution, threadId, context) => {
      const id = execution.metadata?.id ?? "";
      threads.push(threadId ?? "");
      await tell(id, context, EXECUTION_IN_PROGRESS, 1);
      await run(id, context, execution);
      await tell(id, context, EXECUTION_COMPLETED, 2);
      return create(AgentExecutionStatusSchema, { phase: EXECUTION_COMPLETED });
    },
    cleanupSandbox: async (input) => void cleaned.push(input),
  };
  const worker = createTemporalWorker({
    address: temporal.address,
    namespace: temporal.namespace,
    taskQueue,
    activities,
    transport: transport(),
    runnerId: `runner-${workers.length}`,
    maxConcurrency: 2,
    version: "1",
    logger: silentLogger,
    heartbeatMs: 300,
    checkMs: 100,
  });
  workers.push(worker);
  worker.run().catch(() => {});
  await worker.ready;
  return worker;
}

describe("a server on Temporal", () => {
  it("introduces itself, runs what was created, and cleans up after a deleted session", async () => {
    const runner = createClient(RunnerController, transport());
    expect(await runner.hello({ runnerId: "r", version: "1", protocol: 1 })).toMatchObject({ engine: "temporal" });
    const seen: string[] = [];
    const cleaned: CleanupSandboxInput[] = [];
    const { id, sessionId } = await createRun();
    await startRunner(async (run, { fence, attempt }) => void seen.push(`${run} ${fence > 0} ${attempt}`), cleaned);
    await reaches(id, EXECUTION_COMPLETED);
    expect(seen).toEqual([`${id} true 1`]);
    await vi.waitFor(async () => expect(await server.metrics()).toMatchObject({ waiting: 0, leased: 0 }), {
      timeout: 60_000,
    });

    await createClient(SessionCommandController, transport()).delete({ value: sessionId });
    await vi.waitFor(() => expect(cleaned).toMatchObject([{ sessionId, sandboxId: "", workspaceDir: "" }]), {
      timeout: 60_000,
    });
    expect(await server.metrics()).toMatchObject({ paused: 0, oldestWaitingMs: 0, runners: [] });
  });

  it("names each session's thread, so that no activity has to ask for it", async () => {
    threads.length = 0;
    await startRunner(async () => {});
    const first = await createRun();
    await reaches(first.id, EXECUTION_COMPLETED);
    const sessions = createClient(SessionCommandController, transport());
    const queries = createClient(SessionQueryController, transport());
    const { spec } = await queries.get({ value: first.sessionId });
    const agentInstanceId = spec?.agentInstanceId ?? "";
    const { metadata } = await sessions.create(given.session("without", agentInstanceId));
    const theirs = await sessions.create(given.session("theirs", agentInstanceId, { threadId: "theirs" }));
    const without = await createRun({ sessionId: metadata?.id });
    await reaches(without.id, EXECUTION_COMPLETED);
    const own = await createRun({ sessionId: theirs.metadata?.id });
    await reaches(own.id, EXECUTION_COMPLETED);
    const named = [`thread-${first.sessionId}`, `thread-${without.sessionId}`, "theirs"];
    expect(threads).toEqual(named);
    const { spec: stored } = await queries.get({ value: without.sessionId });
    expect([spec?.threadId, stored?.threadId]).toEqual(named.slice(0, 2));
  });

  it("keeps the ledger under the fence that each activity claims", async () => {
    const fences: number[] = [];
    const outcomes: (string | undefined)[] = [];
    const refused: unknown[] = [];
    const { id } = await createRun();
    await startRunner(async (executionId, { fence }) => {
      const runner = createClient(RunnerController, transport());
      const call = { executionId, callKey: "c1", toolClass: ToolCallClass.ONCE };
      fences.push(fence);
      if (fences.length > 1) {
        const zombie = { ...call, fence: fences[0], requestId: "q1" };
        refused.push(await runner.beginToolCall(zombie).catch((error: Error) => error.message));
      }
      const { outcome } = await runner.beginToolCall({ ...call, fence, requestId: `q${fences.length}` });
      outcomes.push(outcome.case);
      if (fences.length === 1) throw new Error("The machine went away in the middle of the effect.");
    });
    await reaches(id, EXECUTION_COMPLETED);
    expect(outcomes).toEqual(["started", "unknown"]);
    expect(fences[1]).toBeGreaterThan(fences[0] ?? 0);
    expect(refused).toEqual([
      expect.stringContaining(`fence ${fences[0]} of ${id} is not current (${fences[1]})`) as string,
    ]);
  });

  it("gives a run's secrets to the runner that claimed it, and none to Temporal", async () => {
    const runtimeEnv = { TOKEN: { value: "canary-4242-secret", isSecret: true }, OPEN: { value: "seen" } };
    const contexts = createClient(ExecutionContextQueryController, transport());
    const carried: (string | undefined)[] = [];
    const read: (string | undefined)[] = [];
    const { id } = await createRun({ runtimeEnv });
    await startRunner(async (slug, { fence }, execution) => {
      carried.push(execution.spec?.runtimeEnv["TOKEN"]?.value, execution.spec?.runtimeEnv["OPEN"]?.value);
      for (const under of [fence, fence - 1]) {
        const headers = { "stigmer-fence": `${slug}/${under}` };
        const { spec } = await contexts.getByReference({ slug, org: "local" }, { headers });
        read.push(spec?.data["TOKEN"]?.value);
      }
    });
    await reaches(id, EXECUTION_COMPLETED);
    expect(carried).toEqual(["********", "seen"]);
    expect(read).toEqual(["canary-4242-secret", "********"]);
    await expect(contexts.getByReference({ slug: id, org: "local" })).rejects.toMatchObject({ code: Code.NotFound });
  });

  it("pauses, speaks to, resumes and cancels a run, also over its own restart", async () => {
    const heard: string[] = [];
    const { id } = await createRun();
    const work: Run = async (executionId, context) => {
      const asked =
        context.pause.aborted ||
        (await new Promise<boolean>((resolve) => {
          context.pause.addEventListener("abort", () => resolve(true), { once: true });
          context.signal.addEventListener("abort", () => resolve(false), { once: true });
        }));
      if (!asked) throw context.signal.reason;
      heard.push(...context.inbox.items.map((item) => item.id));
      await tell(executionId, context, EXECUTION_PAUSED, 2);
      throw context.pause.reason;
    };
    await startRunner(work);
    await reaches(id, EXECUTION_IN_PROGRESS);
    await executions().sendMessage({ executionId: id, messageId: "m1", text: "Look at this, too." });
    await executions().pause({ executionId: id, reason: "lunch" });
    await reaches(id, EXECUTION_PAUSED);
    expect(heard).toEqual(["m1"]);
    expect((await server.metrics()).paused).toBe(1);

    await Promise.all(workers.map((worker) => worker.drain({ deadlineMs: 0 })));
    workers = [];
    await server.close();
    server = await start();
    expect(await phaseOf(id)).toBe(EXECUTION_PAUSED);
    await startRunner(work);
    await executions().resume({ executionId: id });
    await reaches(id, EXECUTION_IN_PROGRESS);
    await executions().cancel({ executionId: id, reason: "enough" });
    await reaches(id, EXECUTION_CANCELLED);
    await expect(executions().resume({ executionId: id })).rejects.toThrow(/has ended \(cancelled\)/);
  });

  it("cancels a run that waits for a runner, and one that rests", async () => {
    const { id } = await createRun();
    await executions().pause({ executionId: id, reason: "lunch" });
    await executions().cancel({ executionId: id, reason: "enough" });
    await reaches(id, EXECUTION_CANCELLED);
    await vi.waitFor(async () => expect(await server.metrics()).toMatchObject({ waiting: 0, leased: 0, paused: 0 }), {
      timeout: 60_000,
    });
  });
});

describe("a Temporal that can't be used", () => {
  it("is named in one line, and the data directory stays free", async () => {
    const closed = createServer();
    closed.listen(0, "127.0.0.1");
    await once(closed, "listening");
    const { port } = closed.address() as AddressInfo;
    closed.close();
    const elsewhere = join(home, "elsewhere");
    const startOn = (address: string, namespace: string): Promise<RunningServer> =>
      startServer({ home, dataDir: elsewhere, port: 0, engine: { type: "temporal", address, namespace } });
    const oneLine = (text: string): unknown => expect.stringMatching(new RegExp(`^[^\\n]*${text}[^\\n]*$`)) as unknown;
    await expect(startOn(`127.0.0.1:${port}`, "default")).rejects.toMatchObject({
      name: "ServerError",
      code: "engine-unavailable",
      message: oneLine(`127\\.0\\.0\\.1:${port}`),
    });
    await expect(startOn(temporal.address, "nowhere")).rejects.toMatchObject({
      code: "engine-unavailable",
      message: oneLine("nowhere"),
    });
    const usable = await startServer({ home, dataDir: elsewhere, port: 0 });
    await usable.close();
  });
});
