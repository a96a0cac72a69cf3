import assert from "node:assert/strict";
import type { QueuedItem, QueueStore } from "../embedded/queue-store.ts";
import type { QueueStoreFixture } from "./queue-store.ts";
import { lease, task } from "./queue-store-cases.ts";

type Check = (name: string, body: (fixture: QueueStoreFixture) => Promise<void>) => unknown;

/** What people want of a task (pauses, an inbox), and holders who give the work on (claims). */
export function queueStoreOrders(check: Check): void {
  const back = { runnerId: "r1", counted: false, availableAt: 0 };

  check(
    "pauses waiting, leased and done tasks, and the first reason stays until resume",
    async ({ queue, enqueue }) => {
      assert.equal(await queue.pause("a", "why"), "unknown");
      assert.equal(await queue.resume("a"), "unknown");
      for (const id of ["a", "b", "c"]) await enqueue(task(id));
      await lease(queue);
      await queue.complete({ taskId: "a", fence: 1 }, "r1");
      await lease(queue);
      assert.equal(await queue.pause("a", "late"), "done");
      assert.equal(await queue.pause("b", "first"), "leased");
      assert.equal(await queue.pause("b", "second"), "leased");
      assert.equal(await queue.pause("c", ""), "waiting");
      const key = { taskId: "b", fence: 1 };
      const [renewed] = await queue.renew({ runnerId: "r1", leases: [key], expiresAt: 5_000 });
      assert.equal(renewed?.pauseReason, "first");
      assert.equal(await lease(queue), undefined);
      assert.equal(await queue.release(key, back), true);
      assert.equal(await lease(queue), undefined);
      assert.equal(await queue.resume("b"), "waiting");
      const again = await lease(queue);
      assert.deepEqual([again?.id, again?.fence, again?.attempt, again?.pauseReason], ["b", 2, 1, undefined]);
      assert.equal(await queue.pause("b", "third"), "leased");
      assert.equal((await queue.leasedTo("r1"))[0]?.pauseReason, "third");
      assert.equal(await queue.resume("c"), "waiting");
      assert.equal((await lease(queue))?.id, "c");
      assert.equal(await queue.resume("a"), "done");
    },
  );

  check("goes on where a pause of a leased task was taken back before it rested", async ({ queue, enqueue }) => {
    await enqueue(task("a"));
    await lease(queue);
    await queue.pause("a", "wait");
    assert.equal(await queue.resume("a"), "leased");
    await queue.release({ taskId: "a", fence: 1 }, back);
    assert.equal((await lease(queue))?.fence, 2);
  });

  check("takes a pause from a release, unless one was asked for", async ({ queue, enqueue }) => {
    await enqueue(task("a"));
    await enqueue(task("b"));
    await lease(queue);
    await lease(queue);
    await queue.pause("b", "asked");
    const rest = { ...back, pauseReason: "by itself" };
    assert.equal(await queue.release({ taskId: "a", fence: 1 }, rest), true);
    assert.equal(await queue.release({ taskId: "b", fence: 1 }, rest), true);
    assert.equal(await lease(queue), undefined);
    assert.deepEqual(await queue.counts(), { waiting: 0, paused: 2, leased: 0, oldestWaitingAt: undefined });
    for (const id of ["a", "b"]) await queue.requestCancel(id, "enough");
    assert.deepEqual(
      (await queue.undeliverable({ maxAttempts: 5 })).map(({ id, pauseReason }) => [id, pauseReason]),
      [
        ["a", "by itself"],
        ["b", "asked"],
      ],
    );
    await queue.resume("a");
    assert.equal(await queue.release({ taskId: "a", fence: 1 }, rest), true, "a repetition");
    assert.equal((await queue.undeliverable({ maxAttempts: 5 }))[0]?.pauseReason, undefined);
  });

  check("keeps a pause past a lost lease", async ({ queue, enqueue }) => {
    await enqueue(task("a"));
    await lease(queue, { now: 0, leaseMs: 10 });
    await queue.pause("a", "wait");
    assert.deepEqual(
      (await queue.expire({ now: 10, failure: "lost" })).map(({ pauseReason }) => pauseReason),
      ["wait"],
    );
    assert.equal(await lease(queue), undefined);
  });

  check("lets a paused task hold up its session and nobody else", async ({ queue, enqueue }) => {
    await enqueue(task("s1", { sessionId: "s" }));
    await enqueue(task("s2", { sessionId: "s" }));
    await enqueue(task("t1", { sessionId: "t" }));
    await queue.pause("s1", "wait");
    assert.equal((await lease(queue))?.id, "t1");
    assert.equal(await lease(queue), undefined);
    await queue.resume("s1");
    assert.equal((await lease(queue))?.id, "s1");
  });

  check("shows a paused task that was asked to cancel, and lets it be discarded", async ({ queue, enqueue }) => {
    await enqueue(task("a"));
    await queue.pause("a", "wait");
    assert.deepEqual(await queue.undeliverable({ maxAttempts: 5 }), []);
    assert.equal(await queue.requestCancel("a", "enough"), "waiting");
    assert.equal((await queue.undeliverable({ maxAttempts: 5 }))[0]?.cancelReason, "enough");
    assert.equal(await queue.discard({ taskId: "a", fence: 0 }), true);
    assert.equal((await queue.counts()).paused, 0);
  });

  check("counts paused tasks apart, and does not wake for them", async ({ queue, enqueue }) => {
    await enqueue(task("a", { createdAt: 1 }));
    await enqueue(task("b", { createdAt: 2 }));
    await enqueue(task("c", { createdAt: 3 }));
    await lease(queue, { now: 0 });
    await queue.release({ taskId: "a", fence: 1 }, { ...back, availableAt: 40 });
    assert.equal(await queue.nextDue({ now: 0 }), 40);
    await queue.pause("a", "wait");
    assert.equal(await queue.nextDue({ now: 0 }), undefined);
    assert.deepEqual(await queue.counts(), { waiting: 2, paused: 1, leased: 0, oldestWaitingAt: 2 });
    await lease(queue, { now: 0, leaseMs: 90 });
    await queue.pause("b", "wait");
    assert.equal(await queue.nextDue({ now: 0 }), 90);
    assert.deepEqual(await queue.counts(), { waiting: 1, paused: 1, leased: 1, oldestWaitingAt: 3 });
    await queue.resume("a");
    assert.equal(await queue.nextDue({ now: 0 }), 40);
    assert.equal((await queue.counts()).oldestWaitingAt, 1);
  });

  check("keeps an inbox in order and each id once, past leases, until the task is done", async ({ queue, enqueue }) => {
    assert.equal(await queue.deliver("a", item("m1")), "unknown");
    for (const id of ["a", "b"]) await enqueue(task(id));
    assert.equal(await queue.deliver("a", item("m2", "first")), "waiting");
    await lease(queue);
    assert.equal(await queue.deliver("a", item("m1")), "leased");
    assert.equal(await queue.deliver("b", item("m1", "of b")), "waiting");
    assert.equal(await queue.deliver("a", item("m2", "another")), "leased");
    assert.equal(await queue.deliver("a", item("m3")), "leased");
    assert.deepEqual(await inboxOf(queue, "a"), ["m2 first", "m1", "m3"]);
    assert.deepEqual(await inboxOf(queue, "a", 2), ["m3"]);
    assert.deepEqual(await inboxOf(queue, "a", 3), []);
    await queue.expire({ now: 1_000_000, failure: "lost" });
    assert.deepEqual(await inboxOf(queue, "a"), ["m2 first", "m1", "m3"]);
    await lease(queue);
    await queue.complete({ taskId: "a", fence: 2 }, "r1");
    assert.deepEqual(await inboxOf(queue, "a"), []);
    assert.equal(await queue.deliver("a", item("m4")), "done");
    assert.deepEqual(await inboxOf(queue, "a"), []);
    assert.deepEqual(await inboxOf(queue, "b"), ["m1 of b"]);
    await queue.discard({ taskId: "b", fence: 0 });
    assert.deepEqual(await inboxOf(queue, "b"), []);
  });

  check("takes each of many items that come at once", async ({ queue, enqueue }) => {
    await enqueue(task("a"));
    const ids = Array.from({ length: 40 }, (_, index) => `m${String(index % 20)}`);
    await Promise.all(ids.map((id) => queue.deliver("a", item(id))));
    assert.deepEqual([...(await inboxOf(queue, "a"))].sort(), [...new Set(ids)].sort());
  });

  check("says what a holder has, oldest first", async ({ queue, enqueue }) => {
    for (const id of ["b", "a", "c"]) await enqueue(task(id));
    await lease(queue, { runnerId: "r1" });
    await lease(queue, { runnerId: "r2" });
    await lease(queue, { runnerId: "r1" });
    await queue.pause("c", "wait");
    assert.deepEqual(
      (await queue.leasedTo("r1")).map(({ id, fence, pauseReason }) => [id, fence, pauseReason]),
      [
        ["b", 1, undefined],
        ["c", 1, "wait"],
      ],
    );
    await queue.complete({ taskId: "b", fence: 1 }, "r1");
    assert.deepEqual(
      (await queue.leasedTo("r1")).map(({ id }) => id),
      ["c"],
    );
    assert.deepEqual(await queue.leasedTo("r3"), []);
  });

  check(
    "raises the fence for each new claim within a lease, and once for a repeated one",
    async ({ queue, enqueue }) => {
      await enqueue(task("a"));
      assert.equal(await queue.claim({ taskId: "a", claimId: "c1" }), undefined);
      assert.equal(await queue.claim({ taskId: "unknown", claimId: "c1" }), undefined);
      await lease(queue);
      assert.equal((await queue.claim({ taskId: "a", claimId: "c1" }))?.fence, 2);
      assert.equal((await queue.claim({ taskId: "a", claimId: "c1" }))?.fence, 2);
      const next = await queue.claim({ taskId: "a", claimId: "c2" });
      assert.deepEqual([next?.fence, next?.attempt, next?.runnerId], [3, 1, "r1"]);
      assert.equal(await queue.complete({ taskId: "a", fence: 2 }, "r1"), false);
      assert.equal(await queue.release({ taskId: "a", fence: 3 }, back), true);
      assert.equal(await queue.claim({ taskId: "a", claimId: "c2" }), undefined);
      assert.equal((await lease(queue))?.fence, 4);
      assert.equal((await queue.claim({ taskId: "a", claimId: "c2" }))?.fence, 5, "claims are of one lease");
      assert.equal(await queue.end("a"), true);
      assert.equal(await queue.claim({ taskId: "a", claimId: "c3" }), undefined);
    },
  );

  check("ends a task whoever holds it, once", async ({ queue, enqueue }) => {
    assert.equal(await queue.end("a"), false);
    for (const id of ["a", "b", "c"]) await enqueue(task(id, { sessionId: id === "c" ? "" : "s" }));
    await lease(queue);
    await queue.deliver("a", item("m1"));
    assert.equal(await queue.end("a"), true);
    assert.equal(await queue.end("a"), false);
    assert.deepEqual(await inboxOf(queue, "a"), []);
    assert.equal(await queue.complete({ taskId: "a", fence: 1 }, "r1"), true, "done under this fence");
    await queue.pause("c", "wait");
    assert.equal(await queue.end("c"), true);
    assert.equal((await lease(queue))?.id, "b");
    assert.deepEqual(await queue.counts(), { waiting: 0, paused: 0, leased: 1, oldestWaitingAt: undefined });
  });
}

function item(id: string, text = ""): QueuedItem {
  return { id, payload: new TextEncoder().encode(text) };
}

async function inboxOf(queue: QueueStore, taskId: string, seen = 0): Promise<string[]> {
  const items = await queue.inbox(taskId, { seen });
  return items.map(({ id, payload }) => `${id} ${new TextDecoder().decode(payload)}`.trim());
}
