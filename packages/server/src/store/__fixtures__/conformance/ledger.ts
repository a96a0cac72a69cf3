import { describe, expect, it } from "vitest";
import type { ToolCallIntent } from "../../ledger-store.ts";
import { execution, task } from "./executions.ts";
import type { Subject } from "./index.ts";
import { ledgerSequences } from "./ledger-sequences.ts";

const bytes = (...values: number[]): Uint8Array => new Uint8Array(values);

export function ledgerCases(subject: Subject): void {
  const begin = (change: Partial<ToolCallIntent> = {}) =>
    subject.store.ledger.begin({
      executionId: "aex-1",
      fence: 1,
      callKey: "m1/c1",
      toolName: "execute",
      toolClass: "once",
      requestId: "q1",
      now: 5_000,
      ...change,
    });
  const finish = (result: Uint8Array, { fence = 1, callKey = "m1/c1" } = {}) =>
    subject.store.ledger.finish({ executionId: "aex-1", fence, callKey, result });

  async function addRun(): Promise<void> {
    await subject.store.executions.insert(execution({ id: "aex-1" }));
    await subject.store.tasks.enqueue(task("aex-1"));
  }
  const lease = async (): Promise<number | undefined> =>
    (await subject.store.queue.lease({ queue: "q", runnerId: "r1", now: 1, leaseMs: 1, maxAttempts: 99 }))?.fence;
  const lose = () => subject.store.queue.expire({ now: 9, failure: "lost" });

  describe("ledger", () => {
    it("starts a call that it does not know, and answers a repeated request the same", async () => {
      await addRun();
      await lease();
      expect(await begin()).toEqual({ kind: "started" });
      expect(await begin({ now: 6_000 })).toEqual({ kind: "started" });
      await subject.reopen();
      expect(await begin({ now: 7_000 })).toEqual({ kind: "started" });
      expect(await subject.store.ledger.count("aex-1")).toBe(1);
    });

    it("gives the first result of a call to everyone who would make it again", async () => {
      await addRun();
      await lease();
      await begin();
      expect(await finish(bytes(1, 0, 255))).toEqual({ kind: "recorded" });
      expect(await finish(bytes(2))).toEqual({ kind: "recorded" });
      await lose();
      const fence = await lease();
      await subject.reopen();
      expect(await begin({ fence, requestId: "q2" })).toEqual({ kind: "recorded", result: bytes(1, 0, 255) });
      expect(await begin({ fence, requestId: "q3", toolClass: "repeatable" })).toMatchObject({ kind: "recorded" });
      expect(await finish(bytes(3), { fence })).toEqual({ kind: "recorded" });
      expect(await begin({ fence, requestId: "q4" })).toEqual({ kind: "recorded", result: bytes(1, 0, 255) });
    });

    it("keeps a result of nothing apart from no result", async () => {
      await addRun();
      await lease();
      await begin();
      await finish(bytes());
      expect(await begin({ requestId: "q2" })).toEqual({ kind: "recorded", result: bytes() });
    });

    it("gives up a call that may have happened and must not happen twice, for good", async () => {
      await addRun();
      await lease();
      await begin({ now: 5_000 });
      await lose();
      const fence = (await lease()) ?? 0;
      const unknown = { kind: "unknown", begunAt: 5_000 };
      expect(await begin({ fence, requestId: "q2", now: 6_000 })).toEqual(unknown);
      expect(await begin({ fence, requestId: "q2", now: 7_000 })).toEqual(unknown);
      expect(await finish(bytes(1), { fence })).toEqual({ kind: "given-up" });
      await lose();
      const next = await lease();
      await subject.reopen();
      expect(await begin({ fence: next, requestId: "q3", toolClass: "repeatable" })).toEqual(unknown);
    });

    it("starts a call again that may be repeated, and takes the result of who started it last", async () => {
      await addRun();
      await lease();
      await begin({ toolClass: "repeatable" });
      await lose();
      const fence = (await lease()) ?? 0;
      expect(await finish(bytes(1), { fence })).toEqual({ kind: "not-begun" });
      expect(await begin({ toolClass: "repeatable", fence, requestId: "q2" })).toEqual({ kind: "started" });
      expect(await finish(bytes(2), { fence })).toEqual({ kind: "recorded" });
      expect(await begin({ fence, requestId: "q3" })).toEqual({ kind: "recorded", result: bytes(2) });
    });

    it("repeats a call only when both runners hold it for repeatable", async () => {
      await addRun();
      await lease();
      await begin({ toolClass: "repeatable" });
      expect(await begin({ toolClass: "once", requestId: "q2" })).toMatchObject({ kind: "unknown" });
    });

    it("takes nothing under another fence than the run's own, also one that a claim raised", async () => {
      await addRun();
      expect(await begin({ fence: 0 })).toEqual({ kind: "not-held" });
      expect(await begin()).toEqual({ kind: "stale-fence", currentFence: 0 });
      await lease();
      await begin();
      await subject.store.queue.claim({ taskId: "aex-1", claimId: "activity 2" });
      const stale = { kind: "stale-fence", currentFence: 2 };
      expect(await begin()).toEqual(stale);
      expect(await begin({ callKey: "other" })).toEqual(stale);
      expect(await finish(bytes(1))).toEqual(stale);
      await subject.reopen();
      expect(await finish(bytes(1))).toEqual(stale);
      expect(await begin({ fence: 2, requestId: "q2" })).toMatchObject({ kind: "unknown" });
      expect(await subject.store.ledger.count("aex-1")).toBe(1);
      expect(await begin({ executionId: "aex-9" })).toEqual({ kind: "missing" });
    });

    it("starts nothing between two runners, but still takes what the last one did", async () => {
      await addRun();
      await lease();
      await begin();
      await lose();
      expect(await begin({ callKey: "m1/c2" })).toEqual({ kind: "not-held" });
      expect(await begin()).toEqual({ kind: "not-held" });
      expect(await finish(bytes(1))).toEqual({ kind: "recorded" });
      const fence = await lease();
      expect(await begin({ fence, requestId: "q2" })).toEqual({ kind: "recorded", result: bytes(1) });
    });

    it("forgets a run's calls at its end, in the same step, and takes no more", async () => {
      await addRun();
      await lease();
      await begin();
      await begin({ callKey: "m1/c2" });
      await finish(bytes(1));
      const { executions, ledger } = subject.store;
      await executions.append({ id: "aex-1", expectedRevision: 1, delta: bytes(7) });
      expect(await ledger.count("aex-1")).toBe(2);
      const ends = { delta: bytes(7), summary: { phase: 3 }, snapshot: bytes(9), ends: true };
      expect(await executions.append({ id: "aex-1", expectedRevision: 1, ...ends })).toMatchObject({ kind: "moved" });
      expect(await ledger.count("aex-1")).toBe(2);
      expect(await executions.append({ id: "aex-1", expectedRevision: 2, ...ends })).toMatchObject({ kind: "appended" });
      expect(await ledger.count("aex-1")).toBe(0);
      expect(await begin()).toEqual({ kind: "ended", phase: 3 });
      expect(await finish(bytes(1))).toEqual({ kind: "ended", phase: 3 });
    });

    it("forgets a run's calls with the run, and no other's", async () => {
      await addRun();
      await lease();
      await begin();
      await subject.store.executions.insert(execution({ id: "aex-2" }));
      await subject.store.tasks.enqueue(task("aex-2", { queue: "other", sessionId: "" }));
      await subject.store.queue.lease({ queue: "other", runnerId: "r1", now: 1, leaseMs: 1, maxAttempts: 9 });
      await begin({ executionId: "aex-2" });
      await subject.store.executions.delete("aex-1");
      expect(await subject.store.ledger.count("aex-1")).toBe(0);
      expect(await subject.store.ledger.count("aex-2")).toBe(1);
    });

    it("starts a call once of many that ask at the same moment", async () => {
      await addRun();
      await lease();
      const answers = await Promise.all(Array.from({ length: 20 }, (_, index) => begin({ requestId: `q${index}` })));
      const kinds = answers.map(({ kind }) => kind);
      expect(kinds.filter((kind) => kind === "started")).toHaveLength(1);
      expect(kinds.filter((kind) => kind === "unknown")).toHaveLength(19);
    });

    ledgerSequences(subject);
  });
}
