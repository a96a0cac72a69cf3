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

  check(
    "counts what is asked of a leased task, and tells it with its inbox as they are",
    async ({ queue, enqueue }) => {
      assert.equal(await queue.leased("a", { seen: 0 }), undefined);
      await enqueue(task("a"));
      await queue.pause("a", "wait");
      await queue.resume("a");
      assert.equal(await queue.leased("a", { seen: 0 }), undefined, "it waits");
      assert.equal((await lease(queue))?.orders, 0);
      await queue.pause("a", "first");
      await queue.pause("a", "second");
      await queue.deliver("a", item("m1", "one"));
      await queue.deliver("a", item("m2", "two"));
      const asked = await queue.leased("a", { seen: 0 });
      assert.deepEqual([asked?.task.orders, asked?.task.pauseReason, asked?.task.runnerId], [2, "first", "r1"]);
      assert.deepEqual(asked?.items, [item("m1", "one"), item("m2", "two")]);
      await queue.resume("a");
      await queue.requestCancel("a", "enough");
      const later = await queue.leased("a", { seen: 1 });
      assert.deepEqual(
        [later?.task.orders, later?.task.pauseReason, later?.task.cancelReason],
        [4, undefined, "enough"],
      );
      assert.deepEqual(later?.items, [item("m2", "two")]);
      assert.deepEqual((await queue.leased("a", { seen: 2 }))?.items, []);
      await queue.end("a");
      assert.equal(await queue.leased("a", { seen: 0 }), undefined);
    },
  );

  check("lets a leased task rest by itself, unless its inbox has what was not read", async ({ queue, enqueue }) => {
    await enqueue(task("a"));
    const rest = { reason: "look at this", inboxSeen: 0 };
    assert.equal(await queue.rest({ taskId: "a", fence: 0 }, rest), "lost", "it waits");
    await lease(queue);
    assert.equal(await queue.rest({ taskId: "a", fence: 2 }, rest), "lost");
    await queue.deliver("a", item("m1"));
    assert.equal(await queue.rest({ taskId: "a", fence: 1 }, rest), "unread");
    const unread = await queue.leased("a", { seen: 1 });
    assert.deepEqual([unread?.task.orders, unread?.task.pauseReason], [1, undefined]);
    assert.equal(await queue.rest({ taskId: "a", fence: 1 }, { ...rest, inboxSeen: 1 }), "resting");
    assert.equal(await queue.rest({ taskId: "a", fence: 1 }, { reason: "again", inboxSeen: 1 }), "resting");
    const resting = await queue.leased("a", { seen: 1 });
    assert.deepEqual([resting?.task.orders, resting?.task.pauseReason], [3, "look at this"]);
  });

  check("tells a rest and an item that come at once from each other", async ({ queue, enqueue }) => {
    for (let round = 1; round <= 20; round++) {
      const id = `a${String(round)}`;
      await enqueue(task(id));
      await lease(queue);
      const [, rest] = await Promise.all([
        queue.deliver(id, item("m1")),
        queue.rest({ taskId: id, fence: 1 }, { reason: "look at this", inboxSeen: 0 }),
      ]);
      const { task: stored } = (await queue.leased(id, { seen: 0 })) ?? assert.fail("It is leased.");
      assert.equal(stored.pauseReason, rest === "resting" ? "look at this" : undefined);
      await queue.end(id);
    }
  });

  check("gives the leases of holders that have gone to one that is there", async ({ queue, enqueue }) => {
    for (const id of ["a", "b", "c", "d"]) await enqueue(task(id));
    for (const runnerId of ["h1", "h2", "h3", "unsaid"]) await lease(queue, { runnerId });
    await queue.hold({ holder: "h1", expiresAt: 10 });
    await queue.hold({ holder: "h2", expiresAt: 10 });
    await queue.hold({ holder: "h3", expiresAt: 10 });
    await queue.hold({ holder: "h2", expiresAt: 20 });
    const key = (await queue.claim({ taskId: "a", claimId: "c1" }))?.fence;
    assert.deepEqual(await queue.adopt({ holder: "h3", now: 9 }), []);
    await queue.requestCancel("a", "enough");
    const adopted = await queue.adopt({ holder: "h3", now: 10 });
    assert.deepEqual(
      adopted.map(({ id, runnerId, fence, orders, cancelReason }) => [id, runnerId, fence, orders, cancelReason]),
      [["a", "h3", key, 1, "enough"]],
    );
    assert.deepEqual(await queue.adopt({ holder: "h3", now: 10 }), []);
    const ids = async (holder: string): Promise<string[]> => (await queue.leasedTo(holder)).map(({ id }) => id);
    assert.deepEqual([await ids("h1"), await ids("h2"), await ids("h3")], [[], ["b"], ["a", "c"]]);
    await queue.hold({ holder: "h1", expiresAt: 100 });
    await queue.hold({ holder: "h2", expiresAt: 0 });
    await queue.hold({ holder: "h3", expiresAt: 0 });
    await queue.end("a");
    const both = await Promise.all(["h1", "h4"].map((holder) => queue.adopt({ holder, now: 11 })));
    assert.deepEqual(
      both
        .flat()
        .map(({ id }) => id)
        .toSorted(),
      ["b", "c"],
      "each is given to one",
    );
    assert.deepEqual(await ids("unsaid"), ["d"]);
  });

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
