import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { queueStoreConformance } from "@stigmer/engine/conformance";
import { describe, expect, it } from "vitest";
import { comeToRest } from "../__fixtures__/come-to-rest.ts";
import { openSqliteStore } from "./create-store.ts";
import { createExecutionStore } from "./executions.ts";
import { migrate } from "./migrations.ts";
import { createQueueStore } from "./queue.ts";
import { createSql, type Session, type Sql } from "./sql.ts";
import { createTaskOutbox } from "./tasks.ts";

queueStoreConformance({
  name: "sqlite",
  describe,
  it,
  runs: 30,
  create: async () => {
    const dataDir = mkdtempSync(join(tmpdir(), "stigmer-queue-"));
    const store = openSqliteStore({ dataDir });
    return {
      queue: store.queue,
      enqueue: (task) => store.tasks.enqueue(task),
      comeToRest: (lease) => comeToRest(store, lease),
      dispose: async () => {
        await store.close();
        rmSync(dataDir, { recursive: true });
      },
    };
  },
});

describe("the queue, after its database was closed and opened again", () => {
  it("still has fences, claims, pauses and inboxes, and raises fences from where they were", async () => {
    const dataDir = mkdtempSync(join(tmpdir(), "stigmer-queue-"));
    const bytes = Uint8Array.of(1, 2, 255);
    const lease = { queue: "q", now: 0, leaseMs: 1_000, maxAttempts: 5 };
    try {
      const before = openSqliteStore({ dataDir });
      const rest = { kind: "execution", queue: "q", sessionId: "", org: "", payload: bytes, createdAt: 0 } as const;
      for (const id of ["a", "b"]) await before.tasks.enqueue({ id, ...rest });
      await before.queue.lease({ ...lease, runnerId: "r1" });
      await before.queue.claim({ taskId: "a", claimId: "c1" });
      await before.queue.pause("b", "lunch");
      await before.queue.deliver("b", { id: "m1", payload: bytes });
      await before.close();

      const { queue, close } = openSqliteStore({ dataDir });
      expect((await queue.claim({ taskId: "a", claimId: "c1" }))?.fence).toBe(2);
      expect((await queue.claim({ taskId: "a", claimId: "c2" }))?.fence).toBe(3);
      await queue.expire({ now: 1_000, failure: "lost" });
      expect(await queue.lease({ ...lease, runnerId: "r2" })).toMatchObject({ id: "a", fence: 4, attempt: 2 });
      expect(await queue.lease({ ...lease, runnerId: "r2" })).toBeUndefined();
      expect(await queue.inbox("b", { seen: 0 })).toEqual([{ id: "m1", payload: bytes }]);
      await queue.resume("b");
      expect(await queue.lease({ ...lease, runnerId: "r2" })).toMatchObject({ id: "b", pauseReason: undefined });
      await close();
    } finally {
      rmSync(dataDir, { recursive: true });
    }
  });
});

it("tells with a lease that nothing else waits, and what its inbox has, so that neither is looked up", async () => {
  const dataDir = mkdtempSync(join(tmpdir(), "stigmer-queue-"));
  const store = openSqliteStore({ dataDir });
  try {
    const rest = { kind: "execution", sessionId: "", org: "", payload: new Uint8Array(), createdAt: 0 } as const;
    const lease = () => store.queue.lease({ queue: "q", runnerId: "r1", now: 0, leaseMs: 1_000, maxAttempts: 5 });
    for (const id of ["a", "b", "paused", "cancelled"]) await store.tasks.enqueue({ id, queue: "q", ...rest });
    await store.tasks.enqueue({ id: "elsewhere", queue: "other", ...rest });
    await store.queue.pause("paused", "lunch");
    await store.queue.requestCancel("cancelled", "enough");
    await store.queue.deliver("b", { id: "m1", payload: new Uint8Array() });
    expect(await lease()).toMatchObject({ id: "a", isLast: false, items: 0 });
    expect(await lease()).toMatchObject({ id: "b", isLast: true, items: 1 });
    await store.queue.release({ taskId: "a", fence: 1 }, { runnerId: "r1", counted: true, availableAt: 0 });
    expect(await lease()).toMatchObject({ id: "a", fence: 2, isLast: true });
  } finally {
    await store.close();
    rmSync(dataDir, { recursive: true });
  }
});

it("looks at what is under way by an index, however many tasks are done", async () => {
  const database = new DatabaseSync(":memory:");
  migrate(database, ":memory:");
  const sql = createSql(database);
  const steps: string[] = [];
  const explained = (text: string, parameters: NonNullable<Parameters<Sql["get"]>[1]> = {}): void => {
    const plan = database.prepare(`EXPLAIN QUERY PLAN ${text}`).all(parameters);
    steps.push(...plan.map(({ detail }) => `${String(detail)}: ${text}`));
  };
  const explaining: Sql = {
    get: (text, parameters) => (explained(text, parameters), sql.get(text, parameters)),
    all: (text, parameters) => (explained(text, parameters), sql.all(text, parameters)),
    run: (text, parameters) => (explained(text, parameters), sql.run(text, parameters)),
  };
  const session: Session = { read: async (work) => work(explaining), write: async (work) => work(explaining) };
  const [queue, tasks, executions] = [
    createQueueStore(session),
    createTaskOutbox(session),
    createExecutionStore(session),
  ];
  const key = { taskId: "a", fence: 1 };
  await queue.lease({ queue: "q", runnerId: "r", now: 0, leaseMs: 1, maxAttempts: 5 });
  await queue.renew({ runnerId: "r", leases: [key], expiresAt: 1 });
  await queue.complete(key, "r");
  await queue.release(key, { runnerId: "r", counted: true, availableAt: 1 });
  await queue.expire({ now: 1, failure: "lost" });
  await queue.adopt({ holder: "h", now: 1 });
  await queue.recover({ expiresAt: 1 });
  await queue.leasedTo("r");
  await queue.undeliverable({ maxAttempts: 5 });
  await queue.nextDue({ now: 1 });
  await queue.counts();
  await tasks.countWaiting({ queue: "q", org: "o", upTo: 1 });
  await tasks.runsByOrganization({ most: 1 });
  await tasks.holdsLease("s");
  await executions.orphans();
  await executions.misplaced([1, 2]);
  database.close();

  // To scan an index is to read all of it, and these have what is under way alone.
  const partial = /INDEX (tasks_\w+|executions_live)\b/;
  const looks = steps.filter((step) =>
    /^(SCAN|SEARCH) (tasks|executions|candidate|earlier|other|task_inbox)\b/.test(step),
  );
  expect(looks.length).toBeGreaterThan(15);
  expect(looks.filter((step) => step.startsWith("SCAN") && !partial.test(step))).toEqual([]);
});
