import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { queueStoreConformance } from "@stigmer/engine/conformance";
import { describe, expect, it } from "vitest";
import { openSqliteStore } from "./create-store.ts";

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
