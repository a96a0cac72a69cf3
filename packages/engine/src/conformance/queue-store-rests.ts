import assert from "node:assert/strict";
import type { QueueStore } from "../embedded/queue-store.ts";
import type { QueueStoreFixture } from "./queue-store.ts";
import { lease, task } from "./queue-store-cases.ts";

type Check = (name: string, body: (fixture: QueueStoreFixture) => Promise<void>) => unknown;

/** Tasks whose run was stored as one that rests by itself, and of which nobody has told the queue. */
export function queueStoreRests(check: Check): void {
  const back = { runnerId: "r1", counted: false, availableAt: 0 };
  const item = (id: string) => ({ id, payload: new Uint8Array() });

  const reasonOf = async (queue: QueueStore, taskId: string): Promise<string | undefined> => {
    const [task] = (await queue.requestCancel(taskId, ""), await queue.undeliverable({ maxAttempts: 99 }));
    return task?.id === taskId ? task.pauseReason : assert.fail(`${taskId} does not wait.`);
  };

  const endings: Readonly<Record<string, (queue: QueueStore) => Promise<unknown>>> = {
    "is lost": (queue) => queue.expire({ now: 1_000_000, failure: "lost" }),
    "is handed back": (queue) => queue.release({ taskId: "a", fence: 1 }, back),
    fails: (queue) =>
      queue.release({ taskId: "a", fence: 1 }, { ...back, counted: true, failure: "The answer did not come." }),
  };
  for (const [how, end] of Object.entries(endings)) {
    check(`keeps for a person what was stored at rest under a lease that ${how}`, async (fixture) => {
      const { queue, enqueue, comeToRest } = fixture;
      await enqueue(task("a"));
      assert.equal((await lease(queue))?.atRest, undefined);
      await comeToRest({ taskId: "a", fence: 1 });
      assert.equal((await queue.leased("a", { seen: 0 }))?.task.atRest, true);
      await end(queue);
      assert.equal(await lease(queue), undefined);
      assert.equal((await queue.counts()).paused, 1);
      assert.deepEqual(await queue.undeliverable({ maxAttempts: 1 }), [], "that was no failed attempt");
      assert.equal(await queue.resume("a"), "waiting");
      const again = await lease(queue);
      assert.deepEqual([again?.fence, again?.attempt, again?.pauseReason, again?.atRest], [2, 1, undefined, undefined]);
      await queue.expire({ now: 2_000_000, failure: "lost" });
      assert.equal((await lease(queue))?.fence, 3, "it rests once");
    });

    check(`lets go on what was answered before its lease ${how}`, async ({ queue, enqueue, comeToRest }) => {
      await enqueue(task("a"));
      await lease(queue);
      await comeToRest({ taskId: "a", fence: 1 });
      assert.equal(await queue.resume("a"), "leased");
      assert.equal((await queue.leased("a", { seen: 0 }))?.task.atRest, undefined);
      await end(queue);
      assert.equal((await lease(queue))?.fence, 2);
    });

    check(`does not take what was said before for an answer when its lease ${how}`, async (fixture) => {
      const { queue, enqueue, comeToRest } = fixture;
      await enqueue(task("a"));
      await lease(queue);
      await queue.pause("a", "lunch");
      await queue.resume("a");
      await queue.deliver("a", item("m1"));
      await comeToRest({ taskId: "a", fence: 1 });
      await end(queue);
      assert.equal(await lease(queue), undefined);
    });
  }

  check("hears of a rest from its holder too, which is no second one", async ({ queue, enqueue, comeToRest }) => {
    const rest = { ...back, pauseReason: "Did the mail go out?" };
    for (const id of ["a", "b"]) await enqueue(task(id));
    for (const id of ["a", "b"]) {
      await lease(queue);
      await comeToRest({ taskId: id, fence: 1 });
    }
    await queue.resume("b");
    for (const id of ["a", "b"]) assert.equal(await queue.release({ taskId: id, fence: 1 }, rest), true);
    assert.equal((await lease(queue))?.id, "b");
    assert.equal(await lease(queue), undefined);
    assert.equal(await reasonOf(queue, "a"), "Did the mail go out?");
  });

  check("keeps the reason of whoever asked for a pause", async ({ queue, enqueue, comeToRest }) => {
    await enqueue(task("a"));
    await lease(queue);
    await queue.pause("a", "lunch");
    await comeToRest({ taskId: "a", fence: 1 });
    await queue.expire({ now: 1_000_000, failure: "lost" });
    assert.equal(await reasonOf(queue, "a"), "lunch");
  });

  check("pauses at once what is stored at rest when its lease is lost already, to nobody", async (fixture) => {
    const { queue, enqueue, comeToRest } = fixture;
    await enqueue(task("a"));
    await lease(queue);
    await queue.expire({ now: 1_000_000, failure: "lost" });
    await comeToRest({ taskId: "a", fence: 1 });
    assert.equal(await lease(queue), undefined);
    await queue.resume("a");
    assert.equal((await lease(queue))?.fence, 2);
    await comeToRest({ taskId: "a", fence: 1 });
    assert.equal((await queue.leased("a", { seen: 0 }))?.task.atRest, undefined, "the word of a holder of before");
  });

  check("keeps a rest past new claims, until it is told or answered", async ({ queue, enqueue, comeToRest }) => {
    await enqueue(task("a"));
    await lease(queue);
    await queue.claim({ taskId: "a", claimId: "c1" });
    await comeToRest({ taskId: "a", fence: 2 });
    for (const fence of [3, 3]) {
      const claimed = await queue.claim({ taskId: "a", claimId: "c2" });
      assert.deepEqual([claimed?.fence, claimed?.atRest, claimed?.pauseReason], [fence, true, undefined]);
    }
    await queue.deliver("a", item("m1"));
    assert.equal(await queue.rest({ taskId: "a", fence: 3 }, { reason: "look", inboxSeen: 0 }), "resting");
    const told = await queue.claim({ taskId: "a", claimId: "c3" });
    assert.deepEqual([told?.atRest, told?.pauseReason], [undefined, "look"]);
    await queue.resume("a");
    await comeToRest({ taskId: "a", fence: 4 });
    await queue.resume("a");
    assert.equal(await queue.rest({ taskId: "a", fence: 4 }, { reason: "look", inboxSeen: 9 }), "unread");
    const answered = await queue.claim({ taskId: "a", claimId: "c4" });
    assert.deepEqual([answered?.atRest, answered?.pauseReason], [undefined, undefined]);
  });

  check("goes on with no task whose run comes to rest while its lease is lost", async (fixture) => {
    const { queue, enqueue, comeToRest } = fixture;
    for (let round = 1; round <= 20; round++) {
      const id = `a${String(round)}`;
      await enqueue(task(id));
      await lease(queue);
      await Promise.all([comeToRest({ taskId: id, fence: 1 }), queue.expire({ now: 1_000_000, failure: "lost" })]);
      assert.equal(await lease(queue), undefined, "whichever was first");
      await queue.end(id);
    }
  });
}
