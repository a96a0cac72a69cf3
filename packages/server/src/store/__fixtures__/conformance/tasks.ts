import { describe, expect, it } from "vitest";
import { execution, task } from "./executions.ts";
import type { Subject } from "./index.ts";

export function taskCases(subject: Subject): void {
  describe("tasks", () => {
    const done = new Uint8Array([9]);
    const lease = { queue: "q", runnerId: "r1", now: 1_000, leaseMs: 10_000, maxAttempts: 5 };

    it("tell whether somebody has one of a session, whatever the run's status says", async () => {
      const { executions, tasks, queue } = subject.store;
      const held = async (): Promise<boolean[]> =>
        Promise.all(["ses-1", "ses-2", "ses-none"].map((session) => tasks.holdsLease(session)));
      for (const id of ["aex-1", "aex-2"]) {
        await executions.insert(execution({ id }));
        await tasks.enqueue(task(id));
      }
      await tasks.enqueue(task("aex-3", { sessionId: "ses-2" }));
      expect(await held()).toEqual([false, false, false]);

      expect(await queue.lease(lease)).toMatchObject({ id: "aex-1" });
      expect(await held()).toEqual([true, false, false]);
      await executions.append({ id: "aex-1", expectedRevision: 1, delta: done, snapshot: done, ends: true });
      expect(await held()).toEqual([true, false, false]);
      expect(await subject.store.transaction((tx) => tx.tasks.holdsLease("ses-1"))).toBe(true);

      await queue.expire({ now: 99_999, failure: "silent" });
      expect(await held()).toEqual([false, false, false]);
      const again = await queue.lease(lease);
      expect(await held()).toEqual([true, false, false]);
      await queue.complete({ taskId: "aex-1", fence: again?.fence ?? 0 }, "r1");
      expect(await held()).toEqual([false, false, false]);
    });

    it("counts the open runs of those organizations that have the most, and of all others together", async () => {
      const { tasks, queue } = subject.store;
      expect(await tasks.runsByOrganization({ most: 2 })).toEqual([]);
      const open: Record<string, number> = { few: 1, most: 4, many: 3, one: 1 };
      for (const [org, count] of Object.entries(open))
        for (let at = 0; at < count; at++) await tasks.enqueue(task(`aex-${org}-${at}`, { queue: "q", org }));
      await tasks.enqueue(task("clean-up", { kind: "cleanup-sandbox", queue: "other", org: "most" }));
      await queue.pause("aex-most-3", "let me look");
      await queue.lease({ queue: "q", runnerId: "r", now: 1, leaseMs: 1, maxAttempts: 5 });
      await queue.end("aex-one-0");
      expect(await tasks.runsByOrganization({ most: 2 })).toEqual([
        { org: "most", waiting: 3 - leasedOf("most"), paused: 1, leased: leasedOf("most") },
        { org: "many", waiting: 3, paused: 0, leased: 0 },
        { org: "", waiting: 1 - leasedOf("few"), paused: 0, leased: leasedOf("few") },
      ]);
    });
  });
}

/** Of organizations with nothing in work, the first that was enqueued goes first. */
const leasedOf = (org: string): number => Number(org === "few");
