import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import { AgentExecutionStatusSchema, ExecutionPhase } from "@stigmer/protos/agentexecution/v1";
import { CleanupSandboxTaskSchema, InboxItemSchema } from "@stigmer/protos/runner/v1";
import { SandboxType } from "@stigmer/protos/session/v1";
import { toBinary } from "@bufbuild/protobuf";
import { Client, Connection } from "@temporalio/client";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { until } from "../conformance/until.ts";
import { type ActivityContext, type CleanupSandboxInput, DEFAULT_ACTIVITY_QUEUE } from "../contract.ts";
import { quiet } from "../embedded/__fixtures__/server.ts";
import { createMemoryQueueStore } from "../embedded/memory-queue-store.ts";
import { ActivityStop, EngineError } from "../errors.ts";
import { type DevServer, startDevServer } from "./__fixtures__/dev-server.ts";
import {
  aborted,
  activitiesOf,
  completed,
  startTemporalSystem,
  type SystemRunner,
  type TemporalSystem,
} from "./__fixtures__/temporal-system.ts";
import { createTemporalEngine } from "./create-temporal-engine.ts";
import { createTemporalWorker } from "./create-temporal-worker.ts";
import { HOLDER } from "./dispatcher.ts";

const PATIENCE_MS = 60_000;
const { EXECUTION_CANCELLED, EXECUTION_COMPLETED, EXECUTION_TERMINATED } = ExecutionPhase;

let dev: DevServer;
let connection: Connection;
beforeAll(async () => {
  dev = await startDevServer();
  connection = await Connection.connect({ address: dev.address });
});
afterAll(async () => {
  await connection?.close();
  await dev?.dispose();
});

describe("at the start", () => {
  const sides = {
    engine: (address: string, namespace: string): Promise<unknown> =>
      createTemporalEngine({
        address,
        namespace,
        queue: createMemoryQueueStore(),
        logger: quiet,
        loadExecution: async () => undefined,
        onFinished: async () => {},
        onExhausted: async () => {},
      }),
    worker: (address: string, namespace: string): Promise<unknown> =>
      createTemporalWorker({
        address,
        namespace,
        runnerId: "r",
        maxConcurrency: 1,
        version: "1",
        logger: quiet,
        activities: activitiesOf(async () => completed()),
        transport: { unary: () => Promise.reject(new Error()), stream: () => Promise.reject(new Error()) },
      }).run(),
  };

  test.each(["engine", "worker"] as const)("the %s says in one line that nobody answers", async (side) => {
    for (const address of ["127.0.0.1:1", "no-such-host.invalid:7233"]) {
      const error: unknown = await sides[side](address, "default").catch((cause: unknown) => cause);
      assert.ok(EngineError.is(error));
      expect(error.code).toBe("unavailable");
      expect(error.message).toMatch(
        /^Temporal can't be reached at \S+ \([^\n]{5,80}\); check the address and that it runs\.$/,
      );
      expect(error.message).toContain(address);
    }
  });

  test.each(["engine", "worker"] as const)("the %s says in one line that there is no such namespace", async (side) => {
    const error: unknown = await sides[side](dev.address, "nowhere").catch((cause: unknown) => cause);
    assert.ok(EngineError.is(error));
    expect([error.code, error.message]).toEqual([
      "refused",
      `Temporal at ${dev.address} has no namespace "nowhere"; create it, or name another one.`,
    ]);
  });
});

describe("a run", () => {
  let system: TemporalSystem;
  let client: Client;
  beforeEach(async () => {
    system = await startTemporalSystem(dev, { heartbeatTimeoutMs: 4_000, retryDelayMs: 10 });
    client = new Client({ connection, namespace: system.namespace });
  });
  afterEach(() => system.dispose());

  const ended = (count: number): Promise<void> =>
    until(() => system.ends.length >= count, `${String(count)} ends`, PATIENCE_MS);

  /** A runner whose run waits for `gate`, and what it saw. */
  async function startGatedRunner(): Promise<{
    readonly gate: PromiseWithResolvers<void>;
    readonly runs: string[];
    readonly worker: SystemRunner;
    context(): ActivityContext;
  }> {
    const gate = Promise.withResolvers<void>();
    const runs: string[] = [];
    let last: ActivityContext | undefined;
    const worker = await system.startRunner({
      maxConcurrency: 2,
      activities: activitiesOf(async (execution, context) => {
        runs.push(execution.metadata?.id ?? "");
        last = context;
        await Promise.race([gate.promise, aborted(context.signal)]);
        const stop: unknown = context.signal.reason;
        if (!ActivityStop.is(stop)) return completed();
        if (stop.kind !== "cancelled") throw stop;
        return create(AgentExecutionStatusSchema, { phase: EXECUTION_CANCELLED, error: stop.message });
      }),
    });
    return { gate, runs, worker, context: () => last! };
  }

  async function leaseAsAKilledServerDid(taskId: string): Promise<void> {
    const lease = { queue: DEFAULT_ACTIVITY_QUEUE, runnerId: HOLDER, now: Date.now(), leaseMs: 1e15, maxAttempts: 5 };
    expect((await system.queue.lease(lease))?.id).toBe(taskId);
  }

  test("starts once when the server was killed after its create, after its lease, or after its start", async () => {
    const { gate, runs } = await startGatedRunner();
    gate.resolve();
    await system.engine.close();
    await system.submit({ id: "aex-created", sessionId: "ses-1" });
    await system.restartServer();
    await ended(1);

    await system.engine.close();
    await system.submit({ id: "aex-leased", sessionId: "ses-2" });
    await leaseAsAKilledServerDid("aex-leased");
    await system.restartServer();
    await ended(2);

    // Two servers over one queue, of which the first is not heard of any more once it has started the workflow.
    await system.submit({ id: "aex-started", sessionId: "ses-3" });
    await system.engine.start("aex-started");
    await until(async () => (await system.queue.find("aex-started"))?.runnerId === HOLDER, "the lease", PATIENCE_MS);
    await system.restartServer();
    await ended(3);
    expect(system.ends.map(({ executionId }) => executionId)).toEqual(["aex-created", "aex-leased", "aex-started"]);
    expect(runs).toEqual(["aex-created", "aex-leased", "aex-started"]);
    expect((await system.queue.counts()).leased).toBe(0);
  });

  test("reports its end again until it is stored; only then its session goes on", async () => {
    let refusals = 2;
    const tried: string[] = [];
    system.beforeFinish = (executionId) => {
      tried.push(executionId);
      if (--refusals >= 0) throw new Error("disk full");
    };
    const { gate } = await startGatedRunner();
    gate.resolve();
    await system.submit({ id: "aex-1", sessionId: "ses-1" });
    await system.submit({ id: "aex-2", sessionId: "ses-1" });
    await system.engine.start("aex-1");
    await ended(2);
    expect(tried).toEqual(["aex-1", "aex-1", "aex-1", "aex-2"]);
    expect(system.complaints).toHaveLength(1);
    expect(system.complaints[0]).toMatch(/^The end of a task could not be stored; trying again\./);
  });

  test("goes on when Temporal is killed under it; what comes meanwhile waits, what waits can be cancelled", async () => {
    const { gate, runs, context } = await startGatedRunner();
    await system.submit({ id: "aex-1", sessionId: "ses-1" });
    await system.submit({ id: "aex-2", sessionId: "ses-1" });
    await system.engine.start("aex-1");
    await until(() => runs.length > 0, "the run", PATIENCE_MS);
    await dev.kill();
    await until(() => system.complaints.length > 0, "the notice", PATIENCE_MS);
    await system.submit({ id: "aex-3", sessionId: "ses-3" });
    await system.engine.start("aex-3");
    expect(await system.engine.pause("aex-3", "later")).toBe("waiting");
    await system.engine.resume("aex-3");
    await system.engine.cancel("aex-2", "changed my mind");
    await ended(1);
    expect(system.ends).toEqual([{ executionId: "aex-2", phase: EXECUTION_CANCELLED, error: "changed my mind" }]);
    const message = create(InboxItemSchema, { id: "m1", item: { case: "message", value: { text: "Still there?" } } });
    expect(await system.engine.deliver("aex-1", message)).toBe("running");
    await until(() => context().inbox.items.length === 1, "the message, which needs no Temporal", PATIENCE_MS);

    await dev.restart();
    gate.resolve();
    await ended(3);
    expect(runs.toSorted()).toEqual(["aex-1", "aex-3"]);
    expect(system.complaints).toHaveLength(1);
    expect(system.complaints[0]).toMatch(/^Temporal can't be reached; runs wait for it to come back\./);
  });

  test("is cancelled while Temporal is away", async () => {
    const { runs, context } = await startGatedRunner();
    await system.submit({ id: "aex-1", sessionId: "ses-1" });
    await system.engine.start("aex-1");
    await until(() => runs.length > 0, "the run", PATIENCE_MS);
    await dev.kill();
    await system.engine.cancel("aex-1", "too slow");
    await until(() => context().signal.aborted, "the stop", PATIENCE_MS);
    await dev.restart();
    await ended(1);
    expect(system.ends).toEqual([{ executionId: "aex-1", phase: EXECUTION_CANCELLED, error: "too slow" }]);
    expect(runs).toHaveLength(1);
  });

  test("keeps neither its server nor its runner from closing while Temporal is away", async () => {
    const { runs, worker } = await startGatedRunner();
    await system.submit({ id: "aex-1", sessionId: "ses-1" });
    await system.engine.start("aex-1");
    await until(() => runs.length > 0, "the run", PATIENCE_MS);
    await dev.kill();
    try {
      await Promise.all([worker.drain({ deadlineMs: 10 }), system.engine.close()]);
    } finally {
      await dev.restart();
    }
    // Whoever comes next goes on with it.
    await system.restartServer();
    const next = await startGatedRunner();
    next.gate.resolve();
    await ended(1);
    expect([system.ends[0]?.phase, next.runs]).toEqual([EXECUTION_COMPLETED, ["aex-1"]]);
  });

  test("goes on with another runner when the server turns its own away", async () => {
    const { runs, worker, context } = await startGatedRunner();
    await system.submit({ id: "aex-1", sessionId: "ses-1" });
    await system.engine.start("aex-1");
    await until(() => runs.length > 0, "the run", PATIENCE_MS);
    worker.wire.cut(Code.Unauthenticated);
    await expect(worker.worker.run()).rejects.toMatchObject({ code: "turned-away" });
    expect(context().signal.reason).toMatchObject({ kind: "draining" });
    const next = await startGatedRunner();
    next.gate.resolve();
    await ended(1);
    expect([system.ends[0]?.phase, runs, next.runs]).toEqual([EXECUTION_COMPLETED, ["aex-1"], ["aex-1"]]);
    // What was handed back is not held against the run.
    expect(next.context().attempt).toBe(1);
  });

  test("is left to others by a runner that the server turns away", async () => {
    const { runs, worker } = await startGatedRunner();
    worker.wire.cut(Code.PermissionDenied);
    await system.submit({ id: "aex-1", sessionId: "ses-1" });
    await system.engine.start("aex-1");
    await expect(worker.worker.run()).rejects.toMatchObject({ code: "turned-away" });
    const next = await startGatedRunner();
    next.gate.resolve();
    await ended(1);
    expect([system.ends[0]?.phase, runs, next.runs]).toEqual([EXECUTION_COMPLETED, [], ["aex-1"]]);
    expect(next.context().attempt).toBe(1);
  });

  test("ends as TERMINATED when its workflow is terminated, and its runner stops", async () => {
    const { runs, context } = await startGatedRunner();
    await system.submit({ id: "aex-1", sessionId: "ses-1" });
    await system.engine.start("aex-1");
    await until(() => runs.length > 0, "the run", PATIENCE_MS);
    await client.workflow.getHandle("aex-1").terminate("an operator's wish");
    await ended(1);
    expect(system.ends[0]).toEqual({
      executionId: "aex-1",
      phase: EXECUTION_TERMINATED,
      error: "The workflow was terminated in Temporal: an operator's wish",
    });
    await until(() => context().signal.aborted, "the stop", PATIENCE_MS);
    expect((context().signal.reason as ActivityStop).kind).toBe("lease-lost");
  });

  test("ends as CANCELLED when it is cancelled in Temporal", async () => {
    const { runs } = await startGatedRunner();
    await system.submit({ id: "aex-1", sessionId: "ses-1" });
    await system.engine.start("aex-1");
    await until(() => runs.length > 0, "the run", PATIENCE_MS);
    await client.workflow.getHandle("aex-1").cancel();
    await ended(1);
    expect(system.ends[0]?.phase).toBe(EXECUTION_CANCELLED);
  });

  test("frees a sandbox, after its session's runs", async () => {
    const calls: unknown[] = [];
    const done = Promise.withResolvers<CleanupSandboxInput>();
    await system.startRunner({
      activities: {
        ...activitiesOf(async () => {
          calls.push("run");
          return completed();
        }),
        cleanupSandbox: async (input) => {
          calls.push(input);
          done.resolve(input);
        },
      },
    });
    await system.submit({ id: "aex-1", sessionId: "ses-1" });
    const input = {
      sandboxId: "sbx-1",
      sessionId: "ses-1",
      workspaceDir: "/tmp/of-the-user",
      sandboxType: SandboxType.DOCKER,
    };
    const payload = toBinary(CleanupSandboxTaskSchema, create(CleanupSandboxTaskSchema, input));
    const place = { queue: DEFAULT_ACTIVITY_QUEUE, sessionId: "ses-1", org: "", payload, createdAt: Date.now() };
    await system.queue.enqueue({ id: "cleanup-ses-1", kind: "cleanup-sandbox", ...place });
    await system.engine.start("aex-1");
    await done.promise;
    expect(calls).toEqual(["run", input]);
    await until(async () => (await system.queue.counts()).leased === 0, "the task's end", PATIENCE_MS);
  });

  test("is known to have got ahead at once, however long its runner is silent otherwise", async () => {
    // Nobody beats again within the test.
    const never = 60 * 60_000;
    const patient = await startTemporalSystem(dev, { heartbeatTimeoutMs: 3 * never });
    const begun = Promise.withResolvers<void>();
    const gate = Promise.withResolvers<void>();
    const activities = activitiesOf(async (_execution, { progressed }) => {
      progressed();
      begun.resolve();
      await gate.promise;
      return completed();
    });
    try {
      await patient.startRunner({ activities, heartbeatMs: never });
      await patient.submit({ id: "aex-1", sessionId: "ses-1" });
      await patient.engine.start("aex-1");
      await begun.promise;
      await until(() => patient.knowsProgress("aex-1"), "the word of progress", PATIENCE_MS);
      gate.resolve();
      await until(() => patient.ends.length > 0, "the end", PATIENCE_MS);
    } finally {
      gate.resolve();
      await patient.dispose();
    }
  });

  test("hands back work that does not stop, when its runner has to go", async () => {
    const started = Promise.withResolvers<void>();
    const stuck = Promise.withResolvers<void>();
    const leaving = await system.startRunner({
      activities: activitiesOf(async () => {
        started.resolve();
        await stuck.promise;
        return completed();
      }),
    });
    await system.submit({ id: "aex-1", sessionId: "ses-1" });
    await system.engine.start("aex-1");
    await started.promise;
    await leaving.drain({ deadlineMs: 10 });
    const attempts: number[] = [];
    await system.startRunner({
      activities: activitiesOf(async (_execution, { attempt }) => {
        attempts.push(attempt);
        return completed();
      }),
    });
    await ended(1);
    expect(attempts).toEqual([1]);
    stuck.resolve();
  });

  test("leaves no word of its status, its messages and its callback in Temporal", async () => {
    const { gate, runs } = await startGatedRunner();
    const plants = {
      callback: "planted-callback-token-7f3a",
      status: "planted-status-message-91bc",
      inbox: "planted-inbox-text-55de",
    };
    await system.submit(
      { id: "aex-1", sessionId: "ses-1" },
      { message: "planted-prompt-0001", callbackToken: Buffer.from(plants.callback) },
    );
    const execution = system.executions.get("aex-1")!;
    execution.status = create(AgentExecutionStatusSchema, { messages: [{ content: plants.status }] });
    await system.engine.start("aex-1");
    await until(() => runs.length > 0, "the run", PATIENCE_MS);
    const item = { case: "message", value: { text: plants.inbox } } as const;
    await system.engine.deliver("aex-1", create(InboxItemSchema, { id: "m1", item }));
    gate.resolve();
    await ended(1);
    expect(system.ends[0]?.phase).toBe(EXECUTION_COMPLETED);

    const files = await readdir(dev.directory);
    const stored = Buffer.concat(await Promise.all(files.map((name) => readFile(join(dev.directory, name)))));
    // What is meant to be there is found, so that what is not found is not there.
    expect(stored.includes("planted-prompt-0001")).toBe(true);
    for (const plant of Object.values(plants)) {
      expect(stored.includes(plant), plant).toBe(false);
      expect(stored.includes(Buffer.from(plant).toString("base64").slice(0, -4)), `${plant} in base64`).toBe(false);
    }
  });
});
