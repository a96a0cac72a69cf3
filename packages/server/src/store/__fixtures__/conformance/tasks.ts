import { describe, expect, it } from "vitest";
import { task } from "./executions.ts";
import type { Subject } from "./index.ts";

export function taskCases(subject: Subject): void {
  describe("tasks", () => {
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
