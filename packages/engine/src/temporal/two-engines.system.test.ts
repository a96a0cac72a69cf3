import { create } from "@bufbuild/protobuf";
import { createRouterTransport } from "@connectrpc/connect";
import {
  AgentExecutionSchema,
  AgentExecutionSpecSchema,
  AgentExecutionStatusSchema,
  ExecutionPhase,
} from "@stigmer/protos/agentexecution/v1";
import { InboxItemSchema, RunnerController } from "@stigmer/protos/runner/v1";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import type { ReportedEnd } from "../conformance/index.ts";
import { until as untilTrue } from "../conformance/until.ts";
import { type Activities, type ActivityContext, DEFAULT_ACTIVITY_QUEUE } from "../contract.ts";
import { quiet } from "../embedded/__fixtures__/server.ts";
import { createMemoryQueueStore, type MemoryQueueStore } from "../embedded/memory-queue-store.ts";
import type { QueueStore } from "../embedded/queue-store.ts";
import { ActivityStop } from "../errors.ts";
import { type DevServer, startDevServer } from "./__fixtures__/dev-server.ts";
import { startTcpProxy } from "./__fixtures__/tcp-proxy.ts";
import { aborted, activitiesOf, completed } from "./__fixtures__/temporal-system.ts";
import { createTemporalEngine, type TemporalEngine } from "./create-temporal-engine.ts";
import { createTemporalWorker } from "./create-temporal-worker.ts";
import { HOLDER } from "./dispatcher.ts";

// Two servers' engines on one queue. One that "dies" is cut off from the queue and from Temporal, without a word.

const PATIENCE_MS = 60_000;
const SERVER_TIMEOUT_MS = 900;
const { EXECUTION_CANCELLED, EXECUTION_COMPLETED } = ExecutionPhase;

let dev: DevServer;
beforeAll(async () => {
  dev = await startDevServer();
});
afterAll(() => dev.dispose());

interface Side {
  readonly engine: TemporalEngine;
  readonly ends: ReportedEnd[];
  die(): void;
  dispose(): Promise<void>;
}

let queue: MemoryQueueStore;
let namespace: string;
let sides: Side[];
let cleanups: (() => Promise<void>)[];
/** Whether what a server tells the others arrives. */
let heard: boolean;
beforeEach(() => {
  queue = createMemoryQueueStore();
  namespace = dev.freshNamespace();
  sides = [];
  cleanups = [];
  heard = true;
});
afterEach(async () => {
  for (const cleanup of cleanups) await cleanup();
  for (const side of sides) await side.dispose();
});

async function startSide(): Promise<Side> {
  const proxy = await startTcpProxy(dev.port);
  const ends: ReportedEnd[] = [];
  let isDead = false;
  const own = new Proxy<QueueStore>(queue, {
    get: (target, name: keyof QueueStore) =>
      isDead ? () => Promise.reject(new Error("The store can't be reached.")) : target[name],
  });
  const engine = await createTemporalEngine({
    address: proxy.address,
    namespace,
    queue: own,
    shared: true,
    serverTimeoutMs: SERVER_TIMEOUT_MS,
    onOrder: (executionId) => {
      if (heard) for (const other of sides) void other.engine.ordered(executionId);
    },
    loadExecution: async (id) =>
      create(AgentExecutionSchema, {
        metadata: { id },
        spec: create(AgentExecutionSpecSchema, { message: "Hello", sessionId: `ses-${id}` }),
      }),
    onFinished: async ({ executionId, status: { phase, error } }) => {
      if (isDead) throw new Error("The store can't be reached.");
      ends.push({ executionId, phase, error });
    },
    onExhausted: async (executionId, error) => {
      ends.push({ executionId, phase: ExecutionPhase.EXECUTION_FAILED, error });
    },
    logger: quiet,
    heartbeatTimeoutMs: 5_000,
    retryDelayMs: 10,
  });
  const side: Side = {
    engine,
    ends,
    die: () => {
      isDead = true;
      proxy.cut();
    },
    dispose: async () => {
      proxy.heal();
      await engine.close();
      await proxy.close();
    },
  };
  sides.push(side);
  return side;
}

/** A runner that asks whichever server is asked next, as a balancer sends it. */
async function startRunner(activities: Activities, alive: () => readonly Side[]): Promise<void> {
  let calls = 0;
  const next = (): TemporalEngine["runnerService"] => {
    const side = alive()[calls++ % alive().length];
    if (!side) throw new Error("No server is there.");
    return side.engine.runnerService;
  };
  const transport = createRouterTransport(({ service }) =>
    service(RunnerController, {
      claimExecution: (request, context) => next().claimExecution(request, context),
      checkExecution: (request, context) => next().checkExecution(request, context),
      releaseLease: (request, context) => next().releaseLease(request, context),
    }),
  );
  const worker = createTemporalWorker({
    address: dev.address,
    namespace,
    transport,
    activities,
    runnerId: "runner-1",
    maxConcurrency: 20,
    version: "1",
    logger: quiet,
    heartbeatMs: 300,
    checkMs: 100,
  });
  const running = worker.run();
  await worker.ready;
  cleanups.push(async () => {
    await worker.drain({ deadlineMs: 0 });
    await running;
  });
}

async function submit(id: string): Promise<void> {
  const place = { queue: DEFAULT_ACTIVITY_QUEUE, payload: new Uint8Array(), createdAt: Date.now() };
  await queue.enqueue({ id, kind: "execution", sessionId: `ses-${id}`, org: "", ...place });
}

const until = (condition: () => boolean | Promise<boolean>): Promise<void> =>
  untilTrue(condition, "what the test waits for", PATIENCE_MS);

const endOf = (id: string): ReportedEnd | undefined =>
  sides.flatMap(({ ends }) => ends).find(({ executionId }) => executionId === id);

interface Obedient {
  /** What was in the inbox when each attempt began. */
  readonly heard: string[][];
  rests: number;
}

/** Rests when it is asked to, and stops when it has to. */
async function obey({ pause, signal, inbox }: ActivityContext, seen: Obedient): Promise<never> {
  seen.heard.push(inbox.items.map(({ id }) => id));
  const reason = await Promise.race([aborted(pause), aborted(signal)]);
  if (!signal.aborted) seen.rests += 1;
  throw reason;
}

test("each run is given out by one of them, and its runner is answered by both", async () => {
  const [a, b] = [await startSide(), await startSide()];
  await startRunner(
    activitiesOf(async ({ metadata }, { fence }) => {
      expect(fence).toBe((await queue.find(metadata?.id ?? ""))?.fence);
      return completed();
    }),
    () => [a, b],
  );
  const ids = Array.from({ length: 30 }, (_, index) => `aex-${String(index)}`);
  for (const id of ids) {
    await submit(id);
    await Promise.all(sides.map(({ engine }) => engine.start(id)));
  }
  for (const id of ids) await until(() => endOf(id) !== undefined);
  await until(async () => (await queue.counts()).leased === 0);
  const ends = sides.flatMap(({ ends }) => ends);
  expect(ends.map(({ executionId }) => executionId).toSorted()).toEqual(ids.toSorted());
  expect(ends.every(({ phase }) => phase === EXECUTION_COMPLETED)).toBe(true);
  for (const id of ids) expect((await queue.find(id))?.attempt).toBe(1);
});

test.each([true, false])(
  "an order that one takes reaches the run that the other follows (told of it: %s)",
  async (told) => {
    heard = told;
    const a = await startSide();
    const seen: Obedient = { heard: [], rests: 0 };
    await startRunner(
      activitiesOf((_execution, context) => obey(context, seen)),
      () => sides,
    );
    await submit("aex-1");
    await a.engine.start("aex-1");
    await until(() => seen.heard.length === 1);
    const b = await startSide();
    const follower = (await queue.find("aex-1"))?.runnerId;

    expect(await b.engine.pause("aex-1", "lunch")).toBe("running");
    await until(() => seen.rests === 1);
    await b.engine.deliver(
      "aex-1",
      create(InboxItemSchema, { id: "m1", item: { case: "message", value: { text: "Hi" } } }),
    );
    await b.engine.resume("aex-1");
    await until(() => seen.heard.at(-1)?.includes("m1") === true);
    await b.engine.cancel("aex-1", "enough");
    await until(() => endOf("aex-1") !== undefined);
    expect(endOf("aex-1")).toMatchObject({ phase: EXECUTION_CANCELLED, error: "enough" });
    expect([a.ends.length, b.ends.length]).toEqual([1, 0]);
    expect((await queue.find("aex-1"))?.runnerId).toBe(follower);
  },
);

test.each([true, false])("a run that rests by itself is woken by the other one (told of it: %s)", async (told) => {
  heard = told;
  const a = await startSide();
  let attempts = 0;
  await submit("aex-1");
  await a.engine.start("aex-1");
  await until(async () => (await queue.counts()).leased === 1);
  const b = await startSide();
  await startRunner(
    activitiesOf(async (_execution, { inbox }) => {
      attempts += 1;
      if (inbox.items.length === 0) throw new ActivityStop("paused", "A person has to decide.");
      return create(AgentExecutionStatusSchema, { phase: EXECUTION_COMPLETED, error: inbox.items[0]?.id ?? "" });
    }),
    () => [b],
  );
  await until(async () => (await queue.leased("aex-1", { seen: 0 }))?.task.pauseReason !== undefined);
  await b.engine.deliver(
    "aex-1",
    create(InboxItemSchema, { id: "m1", item: { case: "message", value: { text: "Yes" } } }),
  );
  await b.engine.resume("aex-1");
  await until(() => endOf("aex-1") !== undefined);
  expect(endOf("aex-1")).toMatchObject({ phase: EXECUTION_COMPLETED });
  expect([attempts, a.ends.length, b.ends.length]).toEqual([2, 1, 0]);
});

test("the runs of one that dies are followed by the other one, which also tells them what it came not to", async () => {
  const a = await startSide();
  const seen: Obedient = { heard: [], rests: 0 };
  let mayEnd = false;
  await startRunner(
    activitiesOf(async ({ metadata }, context) => {
      if (metadata?.id === "aex-rests") return obey(context, seen);
      await until(() => mayEnd);
      return completed();
    }),
    () => sides.slice(-1),
  );
  for (const id of ["aex-rests", "aex-works"]) {
    await submit(id);
    await a.engine.start(id);
  }
  await until(() => seen.heard.length === 1);
  await a.engine.pause("aex-rests", "lunch");
  await until(() => seen.rests === 1);
  await until(async () => (await queue.counts()).leased === 2);
  const b = await startSide();
  a.die();
  // Stored, and then its server was no more.
  await queue.resume("aex-rests");
  await submit("aex-later");
  mayEnd = true;
  await until(() => seen.heard.length >= 2);
  await until(() => ["aex-works", "aex-later"].every((id) => endOf(id)));
  await b.engine.cancel("aex-rests", "enough");
  await until(async () => (await queue.counts()).leased === 0);
  expect(a.ends).toEqual([]);
  expect(b.ends.map(({ executionId, phase }) => [executionId, phase]).toSorted()).toEqual([
    ["aex-later", EXECUTION_COMPLETED],
    ["aex-rests", EXECUTION_CANCELLED],
    ["aex-works", EXECUTION_COMPLETED],
  ]);
});

test("one that starts leaves alone what another one that is there follows", async () => {
  const a = await startSide();
  let mayEnd = false;
  await startRunner(
    activitiesOf(async () => {
      await until(() => mayEnd);
      return completed();
    }),
    () => sides,
  );
  await submit("aex-1");
  await a.engine.start("aex-1");
  await until(async () => (await queue.find("aex-1"))?.fence === 2);
  const follower = (await queue.find("aex-1"))?.runnerId;
  expect(follower).toMatch(new RegExp(`^${HOLDER}/`));
  const b = await startSide();
  const startedAt = Date.now();
  await until(() => Date.now() - startedAt > 3 * SERVER_TIMEOUT_MS);
  expect((await queue.find("aex-1"))?.runnerId).toBe(follower);
  // In order, it leaves them to the other one at once.
  const closing = a.engine.close();
  mayEnd = true;
  await closing;
  await until(async () => (await queue.find("aex-1"))?.runnerId !== follower || endOf("aex-1") !== undefined);
  await until(() => endOf("aex-1") !== undefined);
  expect([...a.ends, ...b.ends]).toHaveLength(1);
});
