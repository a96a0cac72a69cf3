import assert from "node:assert/strict";
import type { QueueStoreFixture } from "./queue-store.ts";
import { lease, task } from "./queue-store-cases.ts";

// How organizations share what there is to lease.

export function queueStoreSharing(
  check: (name: string, body: (fixture: QueueStoreFixture) => Promise<void>) => unknown,
): void {
  const org = (id: string): string => id.replace(/\d+$/, "");

  check("gives each lease to the organization with the fewest, however much one has enqueued", async (fixture) => {
    const { queue, enqueue } = fixture;
    for (let index = 0; index < 30; index++) await enqueue(task(`flood${index}`, { org: "flood" }));
    for (const id of ["quiet1", "small1", "quiet2"]) await enqueue(task(id, { org: org(id) }));
    const given: (string | undefined)[] = [];
    for (let leases = 0; leases < 7; leases++) given.push((await lease(queue))?.id);
    assert.deepEqual(given, ["flood0", "quiet1", "small1", "flood1", "quiet2", "flood2", "flood3"]);
    // What came to its end counts no more.
    await queue.complete({ taskId: "quiet1", fence: 1 }, "r1");
    await queue.complete({ taskId: "quiet2", fence: 1 }, "r1");
    await enqueue(task("quiet3", { org: "quiet" }));
    assert.equal((await lease(queue))?.id, "quiet3");
  });

  check("leases no more of an organization at once than allowed, and refuses none for it", async (fixture) => {
    const { queue, enqueue } = fixture;
    for (const id of ["a1", "a2", "a3", "b1", "b2"]) await enqueue(task(id, { org: org(id) }));
    for (const id of ["own1", "own2"]) await enqueue(task(id));
    const next = async (): Promise<string | undefined> => (await lease(queue, { maxPerOrg: 1 }))?.id;
    assert.deepEqual([await next(), await next(), await next(), await next()], ["a1", "b1", "own1", "own2"]);
    assert.equal(await next(), undefined);
    assert.equal((await queue.counts()).waiting, 3);
    await queue.release({ taskId: "a1", fence: 1 }, { runnerId: "r1", counted: true, availableAt: 9_999 });
    assert.equal(await next(), "a2");
    await queue.end("b1");
    assert.equal(await next(), "b2");
    // The limit is as wide as it is now.
    assert.equal((await lease(queue, { maxPerOrg: 2 }))?.id, "a3");
    assert.equal(await lease(queue, { maxPerOrg: 2 }), undefined);
  });

  check("passes over an organization that has nothing to lease", async ({ queue, enqueue }) => {
    await enqueue(task("a1", { org: "a", sessionId: "s" }));
    await enqueue(task("a2", { org: "a", sessionId: "s" }));
    await enqueue(task("b1", { org: "b" }));
    await enqueue(task("b2", { org: "b" }));
    await enqueue(task("c1", { org: "c" }));
    await queue.pause("c1", "lunch");
    const given = [];
    for (let leases = 0; leases < 4; leases++) given.push((await lease(queue))?.id);
    assert.deepEqual(given, ["a1", "b1", "b2", undefined]);
  });

  check("calls no lease the last one beside which another task can be leased", async ({ queue, enqueue }) => {
    for (const id of ["a1", "a2", "a3", "b1", "b2"]) await enqueue(task(id, { org: id[0] ?? "" }));
    for (const id of ["c1", "c2"]) await enqueue(task(id, { org: "c", sessionId: "s" }));
    for (const id of ["own1", "own2"]) await enqueue(task(id));
    await enqueue(task("elsewhere", { queue: "other" }));
    for (const maxPerOrg of [1, 2, undefined]) {
      for (let last = false; ;) {
        const leased = await lease(queue, { maxPerOrg });
        if (!leased) break;
        assert.equal(last, false, `${leased.id} was leased after the last one`);
        last = leased.isLast === true;
      }
    }
    assert.equal((await queue.counts()).waiting, 2);
  });

  check("keeps to the limit when many lease at once", async ({ queue, enqueue }) => {
    for (let index = 0; index < 24; index++) await enqueue(task(`t${index}`, { org: index % 2 === 0 ? "a" : "b" }));
    const leases = await Promise.all(
      Array.from({ length: 24 }, (_, index) => lease(queue, { runnerId: `r${index % 4}`, maxPerOrg: 3 })),
    );
    const given = leases.flatMap((leased) => (leased ? [leased.org] : [])).sort();
    assert.deepEqual(given, ["a", "a", "a", "b", "b", "b"]);
  });
}
