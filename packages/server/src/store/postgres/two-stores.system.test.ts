import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { silentLogger } from "../../logger.ts";
import { execution, task } from "../__fixtures__/conformance/executions.ts";
import { resource } from "../__fixtures__/conformance/resources.ts";
import type { Store } from "../store.ts";
import { createSchema, type Schema } from "./__fixtures__/schemas.ts";
import { openPostgresStore } from "./create-store.ts";
import { MIGRATIONS } from "./migrations.ts";

// As two servers have one database.

let schema: Schema;
let stores: Store[];
beforeEach(async () => {
  schema = await createSchema();
  stores = [];
});
afterEach(async () => {
  await Promise.all(stores.map((store) => store.close()));
  await schema.drop();
});

async function open(): Promise<Store> {
  const store = await openPostgresStore({ url: schema.url, logger: silentLogger });
  stores.push(store);
  return store;
}

const both = (): Promise<[Store, Store]> => Promise.all([open(), open()]);
const range = (length: number): number[] => Array.from({ length }, (_, index) => index);
const lease = (store: Store, runnerId: string) =>
  store.queue.lease({ queue: "q", runnerId, now: 1_000, leaseMs: 10_000, maxAttempts: 9 });

it("makes the schema once when five open an empty database at the same moment", async () => {
  const [first, ...others] = await Promise.all(range(5).map(open));
  await first?.resources.insert(resource({ id: "agt-1" }));
  for (const other of others) expect(await other.resources.get("Agent", "agt-1")).toBeDefined();
  expect(await schema.query("SELECT version FROM migrations")).toEqual(
    MIGRATIONS.map((_, index) => ({ version: index + 1 })),
  );
});

describe("a run that both change", () => {
  it("takes one change for each revision, whole", async () => {
    const [a, b] = await both();
    await a.executions.insert(execution({ id: "aex-1" }));
    const winners: number[] = [];
    const losers: string[] = [];
    for (const revision of range(25).map((index) => index + 1)) {
      const answers = await Promise.all(
        range(8).map((writer) =>
          (writer % 2 === 0 ? a : b).executions.append({
            id: "aex-1",
            expectedRevision: revision,
            delta: new Uint8Array([revision, writer]),
            // Each tells itself, so that a row of two writers would show.
            summary: { error: `${writer}`, startedAt: `${writer}` },
            ...(writer === 7 && { snapshot: new Uint8Array([revision, writer]) }),
          }),
        ),
      );
      const appended = answers.flatMap(({ kind }, writer) => (kind === "appended" ? [writer] : []));
      expect(appended, `revision ${revision}`).toHaveLength(1);
      winners.push(appended[0] ?? -1);
      losers.push(...answers.flatMap(({ kind }) => (kind === "appended" ? [] : [kind])));
      const [winner = -1] = appended;
      expect(await b.executions.get("aex-1")).toMatchObject({
        revision: revision + 1,
        error: `${winner}`,
        startedAt: `${winner}`,
      });
    }
    expect(new Set(losers)).toEqual(new Set(["moved"]));
    const snapshot = await b.executions.snapshot("aex-1");
    const log = await b.executions.log("aex-1", 0);
    expect(snapshot?.revision).toBe(winners.lastIndexOf(7) + 2);
    expect(log.map(({ delta }) => [...delta])).toEqual(
      winners.map((winner, index) => [index + 1, winner]).slice(winners.lastIndexOf(7) + 1),
    );
  });

  it("takes nothing from a lost runner once its successor has the run", async () => {
    const [a, b] = await both();
    for (const round of range(20)) {
      const id = `aex-${round}`;
      await a.transaction(async (tx) => {
        await tx.executions.insert(execution({ id }));
        await tx.tasks.enqueue(task(id, { sessionId: "" }));
      });
      expect((await lease(a, "r1"))?.id).toBe(id);
      await a.queue.expire({ now: 100_000, failure: "lost" });
      let revision = 1;
      let stopped = false;
      const late = (async () => {
        while (!stopped) {
          const appended = await b.executions.append({
            id,
            fence: 1,
            expectedRevision: revision,
            delta: new Uint8Array(9),
          });
          if (appended.kind !== "appended") return appended;
          revision = appended.revision;
        }
        return undefined;
      })();
      // Given out again while the lost one writes: locked for its writing, and not passed over.
      const again = await lease(a, "r2");
      expect(again).toMatchObject({ id, fence: 2 });
      const seen = (await a.executions.get(id))?.revision;
      expect(await late).toEqual({ kind: "stale-fence", currentFence: 2 });
      stopped = true;
      expect((await b.executions.get(id))?.revision).toBe(seen);
      await a.queue.end(id);
    }
  });

  it("lets nobody have the run while a change under the fence before is being stored", async () => {
    const [a, b] = await both();
    await a.executions.insert(execution({ id: "aex-1" }));
    await a.tasks.enqueue(task("aex-1"));
    await lease(a, "r1");
    const held = await schema.hold("SELECT 1 FROM executions FOR UPDATE");
    const append = a.executions.append({ id: "aex-1", fence: 1, expectedRevision: 1, delta: new Uint8Array() });
    await schema.waiting(1, append);
    const claim = b.queue.claim({ taskId: "aex-1", claimId: "c" });
    const seen = claim.then(async () => (await b.executions.get("aex-1"))?.revision);
    await schema.waiting(2, claim);
    await held.rollback();
    expect(await append).toEqual({ kind: "appended", revision: 2 });
    expect((await claim)?.fence).toBe(2);
    expect(await seen).toBe(2);
  });

  it("keeps its task when it ends while something is sent to it, which nobody has heard then", async () => {
    const [a, b] = await both();
    await a.executions.insert(execution({ id: "aex-1" }));
    await a.tasks.enqueue(task("aex-1", { sessionId: "" }));
    await lease(a, "r1");
    const held = await schema.hold("INSERT INTO task_inbox (task_id, id, payload) VALUES ('aex-1', 'm', '')");
    const delivery = a.queue.deliver("aex-1", { id: "m", payload: new Uint8Array() });
    await schema.waiting(1, delivery);
    const bytes = new Uint8Array([1]);
    const last = { fence: 1, sequence: 1, delta: bytes, snapshot: bytes, ends: true, endsLeaseOf: "r1" } as const;
    const end = b.executions.append({ id: "aex-1", expectedRevision: 1, ...last });
    await schema.waiting(2, end);
    await held.rollback();
    expect(await Promise.all([delivery, end])).toEqual(["leased", { kind: "appended", revision: 2 }]);
    expect(await a.queue.inbox("aex-1", { seen: 0 })).toHaveLength(1);
  });

  it("ends once, and keeps no call that began meanwhile", async () => {
    const [a, b] = await both();
    for (const round of range(20)) {
      const id = `aex-${round}`;
      await a.executions.insert(execution({ id }));
      await a.tasks.enqueue(task(id, { sessionId: "" }));
      await lease(a, "r1");
      const begins = range(6).map((call) =>
        (call % 2 === 0 ? a : b).ledger.begin({
          executionId: id,
          fence: 1,
          callKey: `c${call}`,
          toolName: "t",
          toolClass: "once",
          requestId: `q${call}`,
          now: 1,
        }),
      );
      const ends = [a, b].map((store) =>
        store.executions.append({
          id,
          expectedRevision: 1,
          delta: new Uint8Array(),
          snapshot: new Uint8Array([1]),
          ends: true,
        }),
      );
      const answers = (await Promise.all(ends)).map(({ kind }) => kind);
      expect(answers.filter((kind) => kind === "appended")).toHaveLength(1);
      for (const { kind } of await Promise.all(begins)) expect(["started", "ended"]).toContain(kind);
      expect(await a.ledger.count(id)).toBe(0);
      await a.queue.end(id);
    }
  });

  it("starts a call once of many that ask both", async () => {
    const [a, b] = await both();
    await a.executions.insert(execution({ id: "aex-1" }));
    await a.tasks.enqueue(task("aex-1"));
    await lease(a, "r1");
    const answers = await Promise.all(
      range(30).map((request) =>
        (request % 2 === 0 ? a : b).ledger.begin({
          executionId: "aex-1",
          fence: 1,
          callKey: "c",
          toolName: "t",
          toolClass: "once",
          requestId: `q${request}`,
          now: request,
        }),
      ),
    );
    expect(answers.filter(({ kind }) => kind === "started")).toHaveLength(1);
    expect(answers.filter(({ kind }) => kind === "unknown")).toHaveLength(29);
  });
});

describe("a queue that both lease from", () => {
  it("gives each task once, and of a session one at a time in its order, also while tasks come", async () => {
    const [a, b] = await both();
    const count = 120;
    const enqueued = new Map<string, string[]>();
    let left = count;
    const enqueueing = Promise.all(
      range(6).map(async (lane) => {
        for (const index of range(count / 6)) {
          const id = `t-${lane}-${index}`;
          const sessionId = index % 4 === 0 ? "" : `s${index % 3}`;
          await (lane % 2 === 0 ? a : b).transaction((tx) => tx.tasks.enqueue(task(id, { sessionId })));
        }
      }),
    );
    const open = new Map<string, string>();
    const faults: string[] = [];
    const runner = async (store: Store, runnerId: string): Promise<void> => {
      while (left > 0) {
        const leased = await lease(store, runnerId);
        if (!leased) continue;
        const { id, sessionId, fence } = leased;
        if (fence !== 1) faults.push(`${id} was leased ${fence} times`);
        if (sessionId !== "") {
          if (open.has(sessionId)) faults.push(`${id} beside ${open.get(sessionId)}`);
          open.set(sessionId, id);
          enqueued.set(sessionId, [...(enqueued.get(sessionId) ?? []), id]);
        }
        await Promise.resolve();
        open.delete(sessionId);
        if (!(await store.queue.complete({ taskId: id, fence }, runnerId))) faults.push(`${id} was not completed`);
        left -= 1;
      }
    };
    await Promise.all([enqueueing, ...range(8).map((index) => runner(index % 2 === 0 ? a : b, `r${index}`))]);
    expect(faults).toEqual([]);
    const positions = await schema.query("SELECT id, session_id FROM tasks WHERE session_id <> '' ORDER BY position");
    for (const [sessionId, order] of enqueued) {
      expect(order).toEqual(positions.filter((row) => row["session_id"] === sessionId).map((row) => row["id"]));
    }
    expect(await a.queue.counts()).toMatchObject({ waiting: 0, leased: 0 });
  });

  it("says that there is nothing only when there is nothing: a task that is being looked at is waited for", async () => {
    const [a, b] = await both();
    await a.tasks.enqueue(task("t", { sessionId: "" }));
    for (const round of range(40)) {
      const [leased] = await Promise.all([
        lease(a, "r1"),
        b.queue.deliver("t", { id: `m${round}`, payload: new Uint8Array() }),
        b.executions.writeState("t"),
      ]);
      expect(leased, `round ${round}`).toMatchObject({ id: "t" });
      const key = { taskId: "t", fence: round + 1 };
      expect(await a.queue.release(key, { runnerId: "r1", counted: false, availableAt: 0 })).toBe(true);
    }
    expect(await a.queue.inbox("t", { seen: 0 })).toHaveLength(40);
  });

  it("leaves nothing in the inbox of a task that ends while something is sent to it", async () => {
    const [a, b] = await both();
    await a.tasks.enqueue(task("t", { sessionId: "" }));
    const held = await schema.hold("INSERT INTO task_inbox (task_id, id, payload) VALUES ('t', 'm', '')");
    const delivery = a.queue.deliver("t", { id: "m", payload: new Uint8Array() });
    await schema.waiting(1, delivery);
    const end = b.queue.end("t");
    await schema.waiting(2, end);
    await held.rollback();
    expect(await Promise.all([delivery, end])).toEqual(["waiting", true]);
    expect(await schema.query("SELECT * FROM task_inbox")).toEqual([]);
  });
});

it("lets transactions of both that read and then write come to the result of one after the other", async () => {
  const [a, b] = await both();
  await a.resources.insert(resource({ id: "agt-1", name: "0" }));
  await Promise.all(
    range(40).map((index) =>
      (index % 2 === 0 ? a : b).transaction(async (tx) => {
        const current = await tx.resources.get("Agent", "agt-1");
        if (!current) throw new Error("missing");
        await tx.resources.replace({ ...current, name: String(Number(current.name) + 1) }, current.version);
      }),
    ),
  );
  expect(await b.resources.get("Agent", "agt-1")).toMatchObject({ name: "40" });
});

it("stores an artifact once, that both store at the same moment, in pieces", async () => {
  const [a, b] = await both();
  const artifact = new Uint8Array(5 * 1024 * 1024 + 7).map((_, index) => index % 251);
  const key = "c".repeat(64);
  await Promise.all([a, b, a, b].map((store) => store.artifacts.put(key, artifact)));
  expect(Buffer.compare((await b.artifacts.get(key)) ?? new Uint8Array(), artifact)).toBe(0);
  const pieces = await schema.query(
    "SELECT max(length(bytes)) AS largest, count(*)::int AS count FROM artifact_pieces",
  );
  expect(pieces).toEqual([{ largest: 1024 * 1024, count: 6 }]);
  await b.artifacts.delete(key);
  expect(await schema.query("SELECT key FROM artifact_pieces")).toEqual([]);
});
