import assert from "node:assert/strict";
import type { LeaseKey, NewTask, QueuedTask, QueueStore } from "../embedded/queue-store.ts";
import { lease, task } from "./queue-store-cases.ts";
import { queueStoreOrders } from "./queue-store-orders.ts";
import { queueStoreRests } from "./queue-store-rests.ts";
import { queueStoreSharing } from "./queue-store-sharing.ts";
import { queueStoreSequences } from "./queue-store-sequences.ts";
import type { TestFunctions } from "./test-functions.ts";

/** An empty queue under test, and the store's own way to put tasks in. */
export interface QueueStoreFixture {
  readonly queue: QueueStore;
  enqueue(task: NewTask): Promise<void>;
  /** Stores a status of the task's run that says that it rests by itself, as the holder of this lease. What is refused changes nothing. */
  comeToRest(lease: LeaseKey): Promise<void>;
  /** Closes the store and removes its data. */
  dispose(): Promise<void>;
}

export interface QueueStoreConformanceOptions extends TestFunctions {
  readonly name: string;
  readonly create: () => Promise<QueueStoreFixture>;
  /** How many random sequences of operations to compare with the model. Default 100. */
  readonly runs?: number;
}

/** Registers what every store of the embedded engine's queue must do. Needs `fast-check` installed. */
export function queueStoreConformance(options: QueueStoreConformanceOptions): void {
  const { describe, it } = options;
  const check = (name: string, body: (fixture: QueueStoreFixture) => Promise<void>): unknown =>
    it(name, async () => {
      const fixture = await options.create();
      try {
        await body(fixture);
      } finally {
        await fixture.dispose();
      }
    });

  describe(`queue store: ${options.name}`, () => {
    check("leases in the order of enqueueing, and answers the task as it was given", async ({ queue, enqueue }) => {
      await enqueue(task("b", { createdAt: 2, payload: Uint8Array.of(0, 255), kind: "cleanup-sandbox" }));
      await enqueue(task("a", { createdAt: 1 }));
      const { isLast: _, items: _items, ...leased } = (await lease(queue)) ?? assert.fail("nothing was leased");
      assert.deepEqual(leased, {
        ...task("b", { createdAt: 2, payload: Uint8Array.of(0, 255), kind: "cleanup-sandbox" }),
        fence: 1,
        attempt: 1,
        runnerId: "r1",
        cancelReason: undefined,
        pauseReason: undefined,
        lastFailure: "",
        orders: 0,
      });
      assert.equal((await lease(queue))?.id, "a");
      assert.equal(await lease(queue), undefined);
    });

    check("tells of a lease how many items it has been sent, where it tells that", async ({ queue, enqueue }) => {
      await enqueue(task("a"));
      await enqueue(task("b"));
      for (const id of ["1", "2", "1"]) await queue.deliver("b", { id, payload: Uint8Array.of() });
      const first = await lease(queue);
      const second = await lease(queue);
      assert.deepEqual([first?.id, first?.items ?? 0], ["a", 0]);
      assert.deepEqual([second?.id, second?.items ?? 2], ["b", 2]);
    });

    check("takes a task id once, whatever became of it", async ({ queue, enqueue }) => {
      await enqueue(task("a"));
      await enqueue(task("a", { sessionId: "other" }));
      assert.equal((await queue.counts()).waiting, 1);
      const leased = await lease(queue);
      assert.equal(leased?.sessionId, "");
      await enqueue(task("a"));
      assert.deepEqual(await queue.counts(), { waiting: 0, paused: 0, leased: 1, oldestWaitingAt: undefined });
      assert.equal(await queue.complete({ taskId: "a", fence: 1 }, "r1"), true);
      await enqueue(task("a"));
      assert.equal(await lease(queue), undefined);
    });

    check("keeps queues apart", async ({ queue, enqueue }) => {
      await enqueue(task("a", { queue: "other" }));
      assert.equal(await lease(queue), undefined);
      assert.equal((await lease(queue, { queue: "other" }))?.id, "a");
    });

    check("runs a session's tasks one at a time and in order, also past a retry", async ({ queue, enqueue }) => {
      await enqueue(task("s1", { sessionId: "s" }));
      await enqueue(task("s2", { sessionId: "s" }));
      await enqueue(task("t1", { sessionId: "t" }));
      assert.equal((await lease(queue))?.id, "s1");
      assert.equal((await lease(queue))?.id, "t1");
      assert.equal(await lease(queue), undefined);
      await queue.release({ taskId: "s1", fence: 1 }, { runnerId: "r1", counted: true, availableAt: 500 });
      assert.equal(await lease(queue, { now: 499 }), undefined);
      assert.equal((await lease(queue, { now: 500 }))?.id, "s1");
      await queue.complete({ taskId: "s1", fence: 2 }, "r1");
      assert.equal((await lease(queue))?.id, "s2");
    });

    check("raises the fence with each lease, and refuses what carries an older one", async ({ queue, enqueue }) => {
      await enqueue(task("a"));
      await lease(queue, { now: 0, leaseMs: 10 });
      await queue.expire({ now: 10, failure: "lost" });
      assert.equal((await lease(queue, { runnerId: "r2" }))?.fence, 2);
      const stale = { taskId: "a", fence: 1 };
      assert.deepEqual(await queue.renew({ runnerId: "r1", leases: [stale], expiresAt: 9_999 }), []);
      assert.equal(await queue.complete(stale, "r1"), false);
      assert.equal(await queue.release(stale, { runnerId: "r1", counted: true, availableAt: 0 }), false);
      assert.equal(await queue.discard(stale), false);
      assert.equal((await queue.counts()).leased, 1);
      assert.equal(await queue.complete({ taskId: "a", fence: 2 }, "r2"), true);
    });

    check("takes a lease's end from its holder only", async ({ queue, enqueue }) => {
      await enqueue(task("a"));
      await lease(queue);
      const key = { taskId: "a", fence: 1 };
      assert.deepEqual(await queue.renew({ runnerId: "r2", leases: [key], expiresAt: 9_999 }), []);
      assert.equal(await queue.complete(key, "r2"), false);
      assert.equal(await queue.release(key, { runnerId: "r2", counted: true, availableAt: 0 }), false);
      assert.equal(await queue.complete({ taskId: "unknown", fence: 1 }, "r1"), false);
    });

    check("answers a repeated complete and release again, and changes nothing", async ({ queue, enqueue }) => {
      await enqueue(task("a"));
      await lease(queue);
      const key = { taskId: "a", fence: 1 };
      const back = { runnerId: "r1", counted: false, availableAt: 0 };
      assert.equal(await queue.release(key, back), true);
      assert.equal(await queue.release(key, { ...back, counted: true, failure: "again" }), true);
      assert.equal(await queue.complete(key, "r1"), false);
      const next = await lease(queue);
      assert.deepEqual([next?.fence, next?.attempt, next?.lastFailure], [2, 1, ""]);
      assert.equal(await queue.complete({ taskId: "a", fence: 2 }, "r1"), true);
      assert.equal(await queue.complete({ taskId: "a", fence: 2 }, "r1"), true);
      assert.equal(await queue.release({ taskId: "a", fence: 2 }, back), false);
      assert.equal(await lease(queue), undefined);
    });

    check(
      "counts an attempt unless it was handed back in order, and keeps the last failure",
      async ({ queue, enqueue }) => {
        await enqueue(task("a"));
        assert.equal((await lease(queue))?.attempt, 1);
        await queue.release(
          { taskId: "a", fence: 1 },
          { runnerId: "r1", counted: true, availableAt: 0, failure: "boom" },
        );
        assert.equal((await lease(queue))?.attempt, 2);
        await queue.release({ taskId: "a", fence: 2 }, { runnerId: "r1", counted: false, availableAt: 0 });
        const third = await lease(queue);
        assert.deepEqual([third?.fence, third?.attempt, third?.lastFailure], [3, 2, "boom"]);
      },
    );

    check("counts attempts from the one that got ahead last", async ({ queue, enqueue }) => {
      for (const id of ["a", "b"]) await enqueue(task(id));
      for (const fence of [1, 2]) {
        for (const taskId of ["a", "b"]) {
          await lease(queue);
          const renewed = await queue.renew({
            runnerId: "r1",
            leases: [{ taskId, fence, progressed: taskId === "a" }],
            expiresAt: 2_000,
          });
          assert.deepEqual([renewed[0]?.id, renewed[0]?.attempt], [taskId, taskId === "a" ? 1 : fence]);
        }
        await queue.expire({ now: 2_000, failure: "lost" });
      }
      const [a, b] = [await lease(queue), await lease(queue)];
      assert.deepEqual([a?.id, a?.attempt, a?.fence, b?.id, b?.attempt], ["a", 2, 3, "b", 3]);
      // Of a lease that has ended nothing is heard any more.
      const old = { taskId: "b", fence: 2, progressed: true };
      assert.deepEqual(await queue.renew({ runnerId: "r1", leases: [old], expiresAt: 2_000 }), []);
      const current = { taskId: "b", fence: 3 };
      assert.equal((await queue.renew({ runnerId: "r1", leases: [current], expiresAt: 2_000 }))[0]?.attempt, 3);
    });

    check("does not lease a task whose attempts are used up, but shows it", async ({ queue, enqueue }) => {
      await enqueue(task("a", { sessionId: "s" }));
      await enqueue(task("b", { sessionId: "s" }));
      await lease(queue, { maxAttempts: 1 });
      assert.deepEqual(await queue.undeliverable({ maxAttempts: 1 }), []);
      await queue.expire({ now: 1_000_000, failure: "lost" });
      assert.equal(await lease(queue, { maxAttempts: 1 }), undefined);
      const [shown, ...more] = await queue.undeliverable({ maxAttempts: 1 });
      assert.deepEqual([shown?.id, shown?.attempt, shown?.lastFailure, more.length], ["a", 1, "lost", 0]);
      assert.equal(await queue.discard({ taskId: "a", fence: 1 }), true);
      assert.equal(await queue.discard({ taskId: "a", fence: 1 }), false);
      assert.equal((await lease(queue, { maxAttempts: 1 }))?.id, "b");
    });

    check("expires what is due, and only that", async ({ queue, enqueue }) => {
      for (const id of ["a", "b", "c"]) await enqueue(task(id));
      await lease(queue, { now: 0, leaseMs: 10 });
      await lease(queue, { now: 0, leaseMs: 20, runnerId: "r2" });
      await lease(queue, { now: 0, leaseMs: 10 });
      const renewed = await queue.renew({ runnerId: "r1", leases: [{ taskId: "c", fence: 1 }], expiresAt: 50 });
      const held = {
        fence: 1,
        runnerId: "r1",
        orders: 0,
        cancelReason: undefined,
        pauseReason: undefined,
        lastFailure: "",
      };
      assert.deepEqual(renewed, [{ ...task("c"), ...held, attempt: 1 }]);
      assert.deepEqual(await queue.expire({ now: 9, failure: "lost" }), []);
      assert.deepEqual((await queue.expire({ now: 10, failure: "lost" })).map(summary), ["a 1 r1 lost"]);
      assert.deepEqual((await queue.expire({ now: 50, failure: "gone" })).map(summary).sort(), [
        "b 1 r2 gone",
        "c 1 r1 gone",
      ]);
      assert.deepEqual(await queue.counts(), { waiting: 3, paused: 0, leased: 0, oldestWaitingAt: 0 });
    });

    check("time alone takes no lease away", async ({ queue, enqueue }) => {
      await enqueue(task("a"));
      await lease(queue, { now: 0, leaseMs: 1 });
      assert.equal(
        (await queue.renew({ runnerId: "r1", leases: [{ taskId: "a", fence: 1 }], expiresAt: 9_000 })).length,
        1,
      );
      assert.equal(await lease(queue, { now: 5_000 }), undefined);
      assert.equal(await queue.complete({ taskId: "a", fence: 1 }, "r1"), true);
    });

    check("gives every lease the same window after a restart", async ({ queue, enqueue }) => {
      for (const id of ["a", "b", "c"]) await enqueue(task(id));
      await lease(queue, { now: 0, leaseMs: 1 });
      await lease(queue, { now: 0, leaseMs: 1_000_000 });
      assert.equal(await queue.recover({ expiresAt: 500 }), 2);
      assert.equal(await queue.nextDue({ now: 100 }), 500);
      assert.equal((await queue.expire({ now: 499, failure: "" })).length, 0);
      assert.equal((await queue.expire({ now: 500, failure: "" })).length, 2);
    });

    check("cancels waiting, leased and done tasks, and the first reason stays", async ({ queue, enqueue }) => {
      assert.equal(await queue.requestCancel("a", "why"), "unknown");
      for (const id of ["a", "b", "c"]) await enqueue(task(id));
      await lease(queue);
      await queue.complete({ taskId: "a", fence: 1 }, "r1");
      await lease(queue);
      assert.equal(await queue.requestCancel("a", "late"), "done");
      assert.equal(await queue.requestCancel("b", "first"), "leased");
      assert.equal(await queue.requestCancel("b", "second"), "leased");
      assert.equal(await queue.requestCancel("c", ""), "waiting");
      const renewed = await queue.renew({ runnerId: "r1", leases: [{ taskId: "b", fence: 1 }], expiresAt: 10 });
      assert.equal(renewed[0]?.cancelReason, "first");
      assert.equal(await lease(queue), undefined);
      const cancelled = await queue.undeliverable({ maxAttempts: 5 });
      assert.deepEqual(
        cancelled.map(({ id, cancelReason }) => [id, cancelReason]),
        [["c", ""]],
      );
      await queue.expire({ now: 10, failure: "lost" });
      assert.equal(await lease(queue), undefined);
      assert.deepEqual(
        (await queue.undeliverable({ maxAttempts: 5 })).map(({ id }) => id),
        ["b", "c"],
      );
    });

    check("says when to look again", async ({ queue, enqueue }) => {
      assert.equal(await queue.nextDue({ now: 0 }), undefined);
      await enqueue(task("a"));
      await enqueue(task("b"));
      assert.equal(await queue.nextDue({ now: 0 }), undefined);
      await lease(queue, { now: 0, leaseMs: 70 });
      assert.equal(await queue.nextDue({ now: 0 }), 70);
      await lease(queue, { now: 0, leaseMs: 90 });
      await queue.release({ taskId: "b", fence: 1 }, { runnerId: "r1", counted: true, availableAt: 40 });
      assert.equal(await queue.nextDue({ now: 0 }), 40);
      assert.equal(await queue.nextDue({ now: 40 }), 70);
    });

    check("gives each task to one of many runners that ask at once", async ({ queue, enqueue }) => {
      const ids = Array.from({ length: 60 }, (_, index) => `t${String(index)}`);
      for (const [index, id] of ids.entries())
        await enqueue(task(id, { sessionId: index < 30 ? `s${String(index % 10)}` : "" }));
      const leases = await Promise.all(
        Array.from({ length: 80 }, (_, index) => lease(queue, { runnerId: `r${String(index % 4)}` })),
      );
      const given = leases.flatMap((leased) => (leased ? [leased.id] : []));
      assert.equal(new Set(given).size, given.length);
      assert.equal(given.length, 40, "30 tasks without a session and the first of each of 10 sessions");
    });

    queueStoreOrders(check);
    queueStoreRests(check);
    queueStoreSharing(check);
    queueStoreSequences({ check, runs: options.runs ?? 100, create: options.create });
  });
}

const summary = (expired: QueuedTask): string =>
  `${expired.id} ${String(expired.fence)} ${expired.runnerId} ${expired.lastFailure}`;
