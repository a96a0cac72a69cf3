// What is asked of the store at one moment is one commit, a run and its lease above all; and which commits are flushed.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import type { NewLease } from "@stigmer/engine/embedded";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { execution, task } from "../__fixtures__/conformance/executions.ts";
import type { Store } from "../store.ts";
import { watchFlushes } from "./__fixtures__/watch-flushes.ts";
import { openSqliteStore } from "./create-store.ts";

let dataDir: string;
let store: Store;
beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), "stigmer-together-"));
  store = openSqliteStore({ dataDir });
});
afterEach(async () => {
  vi.restoreAllMocks();
  await store.close();
  rmSync(dataDir, { recursive: true });
});

const leaseNext = (): Promise<NewLease | undefined> =>
  store.queue.lease({ queue: "q", runnerId: "r1", now: 0, leaseMs: 1_000, maxAttempts: 5 });

async function storeRun(id: string, { fails = false } = {}): Promise<void> {
  await store.transaction(async (tx) => {
    await tx.executions.insert(execution({ id }));
    await tx.tasks.enqueue(task(id, { sessionId: "" }));
    if (fails) throw new Error("refused");
  });
}

const commitsOf = (exec: { readonly mock: { readonly calls: readonly unknown[][] } }): number =>
  exec.mock.calls.filter(([text]) => text === "COMMIT").length;

it("stores a run and the lease that was asked for right after it by one commit", async () => {
  expect(store.queue.commitsTogether).toBe(true);
  const exec = vi.spyOn(DatabaseSync.prototype, "exec");
  const [, leased] = await Promise.all([storeRun("aex-1"), leaseNext()]);
  expect(leased).toMatchObject({ id: "aex-1", fence: 1, isLast: true });
  expect(commitsOf(exec)).toBe(1);
});

it("leases nothing of a run that is refused, and what waits all the same", async () => {
  const [refused, leased] = await Promise.allSettled([storeRun("aex-1", { fails: true }), leaseNext()]);
  expect([refused.status, leased]).toEqual(["rejected", { status: "fulfilled", value: undefined }]);
  await storeRun("aex-2");
  const [, other] = await Promise.allSettled([storeRun("aex-3", { fails: true }), leaseNext()]);
  expect(other).toMatchObject({ value: { id: "aex-2" } });
  expect(await store.queue.counts()).toMatchObject({ waiting: 0, leased: 1 });
});

it("leases nothing by a commit that fails", async () => {
  const { exec } = DatabaseSync.prototype;
  vi.spyOn(DatabaseSync.prototype, "exec").mockImplementation(function (this: DatabaseSync, text) {
    if (text === "COMMIT") throw new Error("the disk is gone");
    exec.call(this, text);
  });
  const outcomes = await Promise.allSettled([storeRun("aex-1"), leaseNext()]);
  expect(outcomes.map(({ status }) => status)).toEqual(["rejected", "rejected"]);
  vi.restoreAllMocks();
  expect(await store.queue.counts()).toMatchObject({ waiting: 0, leased: 0 });
});

it("flushes what somebody goes on because of, and leaves to that what nobody does", async () => {
  await storeRun("aex-1");
  await leaseNext();
  const intent = { executionId: "aex-1", fence: 1, toolName: "t", requestId: "q", now: 0 };
  const change = { id: "aex-1", fence: 1, delta: new Uint8Array([7]) };
  const { executions, ledger } = store;
  const flushes = watchFlushes();
  await executions.append({ ...change, expectedRevision: 1, sequence: 1, passing: true });
  await ledger.begin({ ...intent, callKey: "read", toolClass: "repeatable" });
  await ledger.begin({ ...intent, callKey: "send", toolClass: "once" });
  const result = { executionId: "aex-1", fence: 1, result: new Uint8Array() };
  await ledger.finish({ ...result, callKey: "read", toolClass: "repeatable" });
  await ledger.finish({ ...result, callKey: "send", toolClass: "once" });
  await ledger.finish({ ...result, callKey: "send" });
  await executions.append({ ...change, expectedRevision: 2, sequence: 2 });
  await store.transaction((tx) => tx.executions.insert(execution({ id: "aex-2" })), { passing: true });
  await store.transaction((tx) => tx.executions.insert(execution({ id: "aex-3" })));
  expect(flushes).toEqual([1, 1, 2, 1, 2, 2, 2, 1, 2]);
});

it("flushes for all that are stored by one commit when one of them asks for it", async () => {
  await storeRun("aex-1");
  await leaseNext();
  const flushes = watchFlushes();
  const change = { id: "aex-1", expectedRevision: 1, fence: 1, sequence: 1, delta: new Uint8Array([7]), passing: true };
  await Promise.all([store.executions.append(change), storeRun("aex-2")]);
  expect(flushes).toEqual([2]);
});
