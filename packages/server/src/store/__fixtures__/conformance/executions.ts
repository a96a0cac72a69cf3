import type { NewTask } from "@stigmer/engine/embedded";
import { describe, expect, it } from "vitest";
import { EXECUTION_CONTEXT, type NewExecution, type StatusAppend } from "../../execution-store.ts";
import type { Subject } from "./index.ts";
import { resource } from "./resources.ts";

/** An execution with everything that a case does not care about. */
export function execution(change: Partial<NewExecution> & Pick<NewExecution, "id">): NewExecution {
  return {
    org: "local",
    name: change.id,
    labels: {},
    tags: [],
    sessionId: "ses-1",
    agentId: "agt-1",
    phase: 1,
    error: "",
    startedAt: "",
    completedAt: "",
    createdAt: 1_000,
    body: bytes(1),
    snapshot: bytes(2),
    ...change,
  };
}

export function task(id: string, change: Partial<NewTask> = {}): NewTask {
  return { id, kind: "execution", queue: "q", sessionId: "ses-1", org: "", payload: bytes(), createdAt: 1_000, ...change };
}

const bytes = (...values: number[]): Uint8Array => new Uint8Array(values);

export function executionCases(subject: Subject): void {
  const append = (change: Partial<StatusAppend>) =>
    subject.store.executions.append({ id: "aex-1", expectedRevision: 1, delta: bytes(7), ...change });

  describe("executions", () => {
    it("starts at revision 1 with the given status and an empty log", async () => {
      await subject.store.executions.insert(execution({ id: "aex-1" }));
      const { executions } = await subject.reopen();
      expect(await executions.get("aex-1")).toMatchObject({
        revision: 1,
        phase: 1,
        ended: false,
        lastFence: 0,
        body: bytes(1),
      });
      expect(await executions.snapshot("aex-1")).toEqual({ revision: 1, status: bytes(2) });
      expect(await executions.log("aex-1", 0)).toEqual([]);
      const again = executions.insert(execution({ id: "aex-1" }));
      await expect(again).rejects.toMatchObject({ code: "already-exists" });
    });

    it("appends changes in order, and touches only the columns given", async () => {
      const { executions } = subject.store;
      await executions.insert(execution({ id: "aex-1" }));
      expect(await append({ delta: bytes(1), summary: { phase: 2, startedAt: "t" } })).toEqual({
        kind: "appended",
        revision: 2,
      });
      expect(await append({ expectedRevision: 2, delta: bytes(2) })).toEqual({ kind: "appended", revision: 3 });
      expect(await append({ expectedRevision: 2, delta: bytes(3) })).toEqual({ kind: "moved", revision: 3 });
      const reopened = await subject.reopen();
      expect(await reopened.executions.get("aex-1")).toMatchObject({
        revision: 3,
        phase: 2,
        startedAt: "t",
        error: "",
      });
      expect(await reopened.executions.log("aex-1", 1)).toEqual([
        { revision: 2, delta: bytes(1) },
        { revision: 3, delta: bytes(2) },
      ]);
      expect(await reopened.executions.log("aex-1", 2)).toHaveLength(1);
    });

    it("knows a repeated change by its fence and sequence, and refuses a stale fence", async () => {
      const { executions, tasks, queue } = subject.store;
      await executions.insert(execution({ id: "aex-1" }));
      await tasks.enqueue(task("aex-1"));
      expect(await append({ fence: 1, sequence: 1 })).toEqual({ kind: "stale-fence", currentFence: 0 });
      const lease = await queue.lease({ queue: "q", runnerId: "r1", now: 1_000, leaseMs: 10_000, maxAttempts: 5 });
      expect(lease?.fence).toBe(1);
      expect(await append({ fence: 1, sequence: 1 })).toEqual({ kind: "appended", revision: 2 });
      expect(await append({ fence: 1, sequence: 1 })).toEqual({ kind: "repeated", revision: 2 });
      expect(await append({ fence: 2, sequence: 9 })).toEqual({ kind: "stale-fence", currentFence: 1 });
      expect(await append({ expectedRevision: 2, delta: bytes(9) })).toEqual({ kind: "appended", revision: 3 });
      expect(await append({ expectedRevision: 3, fence: 1, sequence: 1 })).toEqual({ kind: "repeated", revision: 3 });
    });

    it("refuses a change that leaves out some of its fence's", async () => {
      const { executions, tasks, queue } = subject.store;
      await executions.insert(execution({ id: "aex-1" }));
      await tasks.enqueue(task("aex-1"));
      const lease = { queue: "q", runnerId: "r1", leaseMs: 10_000, maxAttempts: 5 };
      await queue.lease({ ...lease, now: 1_000 });
      expect(await append({ fence: 1, sequence: 2 })).toEqual({ kind: "gap", lastSequence: 0 });
      expect(await append({ fence: 1, sequence: 1, passing: true })).toEqual({ kind: "appended", revision: 2 });
      expect(await append({ expectedRevision: 2, fence: 1, sequence: 3 })).toEqual({ kind: "gap", lastSequence: 1 });
      expect(await append({ expectedRevision: 2, fence: 1, sequence: 2 })).toMatchObject({ kind: "appended" });
      // The next fence counts for itself.
      await queue.expire({ now: 20_000, failure: "it fell silent" });
      await queue.lease({ ...lease, now: 20_000 });
      expect(await append({ expectedRevision: 3, fence: 2, sequence: 3 })).toEqual({ kind: "gap", lastSequence: 0 });
      expect(await append({ expectedRevision: 3, fence: 2, sequence: 1 })).toMatchObject({ kind: "appended" });
    });

    it("compacts the log at the end, and takes no further change but an amendment", async () => {
      const { executions } = subject.store;
      await executions.insert(execution({ id: "aex-1" }));
      await append({});
      expect(await append({ expectedRevision: 2, summary: { phase: 3 }, snapshot: bytes(9), ends: true })).toEqual({
        kind: "appended",
        revision: 3,
      });
      expect(await executions.log("aex-1", 0)).toEqual([]);
      expect(await executions.snapshot("aex-1")).toEqual({ revision: 3, status: bytes(9) });
      expect(await append({ expectedRevision: 3 })).toEqual({ kind: "ended", phase: 3, revision: 3 });
      expect(await append({ expectedRevision: 3, amends: true, snapshot: bytes(8) })).toEqual({
        kind: "appended",
        revision: 4,
      });
      expect(await executions.snapshot("aex-1")).toEqual({ revision: 4, status: bytes(8) });
      expect(await executions.get("aex-1")).toMatchObject({ ended: true, phase: 3 });
    });

    it("keeps the log of a run that ends without a snapshot, until an amendment brings one", async () => {
      const { executions, tasks, queue } = subject.store;
      await executions.insert(execution({ id: "aex-1" }));
      await tasks.enqueue(task("aex-1"));
      await queue.lease({ queue: "q", runnerId: "r1", now: 1, leaseMs: 1, maxAttempts: 5 });
      const first = { fence: 1, sequence: 1, delta: bytes(1) };
      const last = { fence: 1, sequence: 2, delta: bytes(2), ends: true, summary: { phase: 3 }, endsLeaseOf: "r1" };
      await append(first);
      expect(await append({ ...last, expectedRevision: 2 })).toEqual({
        kind: "appended",
        revision: 3,
        leaseEnded: true,
      });
      const reopened = (await subject.reopen()).executions;
      expect(await reopened.get("aex-1")).toMatchObject({ ended: true, phase: 3, revision: 3, lastSequence: 2 });
      expect(await reopened.writeState("aex-1")).toMatchObject({ ended: true, revision: 3, taskPlace: "over" });
      expect(await reopened.list({ phase: 3 }, { limit: 9 })).toMatchObject([{ id: "aex-1", revision: 3 }]);
      expect(await reopened.revisions(["aex-1"])).toEqual(new Map([["aex-1", 3]]));
      expect(await reopened.snapshot("aex-1")).toMatchObject({ revision: 1 });
      expect((await reopened.log("aex-1", 1)).map(({ revision }) => revision)).toEqual([2, 3]);
      const change = { id: "aex-1", ...last, expectedRevision: 3 };
      expect(await reopened.append(change)).toEqual({ kind: "repeated", revision: 3 });
      expect(await reopened.append({ ...change, sequence: 3 })).toMatchObject({ kind: "ended" });
      await reopened.append({ id: "aex-1", expectedRevision: 3, amends: true, delta: bytes(8), snapshot: bytes(8) });
      expect(await reopened.log("aex-1", 1)).toEqual([]);
      expect(await reopened.get("aex-1")).toMatchObject({ ended: true, revision: 4, lastSequence: 2 });
      expect(await reopened.delete("aex-1")).toBe(true);
    });

    it("keeps the changes of runs that are at work side by side apart", async () => {
      const { executions } = subject.store;
      for (const id of ["aex-1", "aex-2"]) await executions.insert(execution({ id }));
      for (const revision of [1, 2, 3]) {
        await append({ id: "aex-1", expectedRevision: revision, delta: bytes(10 + revision) });
        await append({ id: "aex-2", expectedRevision: revision, delta: bytes(20 + revision) });
      }
      const logOf = async (id: string, after = 0) =>
        (await executions.log(id, after)).map(({ revision, delta }) => [revision, delta[0]]);
      const second = [
        [2, 21],
        [3, 22],
        [4, 23],
      ];
      expect(await logOf("aex-2")).toEqual(second);
      expect(await logOf("aex-1", 2)).toEqual([
        [3, 12],
        [4, 13],
      ]);
      await append({ id: "aex-1", expectedRevision: 4, snapshot: bytes(9) });
      expect(await logOf("aex-1")).toEqual([]);
      await executions.delete("aex-1");
      expect(await logOf("aex-2")).toEqual(second);
    });

    it("takes the run's contexts along when it ends or is deleted, and only those", async () => {
      const { executions, resources } = subject.store;
      for (const id of ["aex-1", "aex-2", "aex-3"]) {
        await executions.insert(execution({ id }));
        for (const part of ["a", "b"]) {
          await resources.insert(resource({ id: `${id}-${part}`, kind: EXECUTION_CONTEXT, parentId: id, ownerScope: 0 }));
        }
        await resources.insert(resource({ id: `${id}-of-another-kind`, kind: "Session", parentId: id }));
      }
      const contexts = async (): Promise<string[]> =>
        (await resources.list({ kind: EXECUTION_CONTEXT }, { limit: 9 })).map(({ parentId }) => parentId).toSorted();
      const all = ["aex-1", "aex-1", "aex-2", "aex-2", "aex-3", "aex-3"];
      await append({ id: "aex-1", snapshot: bytes(9) });
      expect(await append({ id: "aex-1", snapshot: bytes(9), ends: true })).toMatchObject({ kind: "moved" });
      expect(await contexts()).toEqual(all);
      await append({ id: "aex-1", expectedRevision: 2, snapshot: bytes(9), ends: true });
      expect(await contexts()).toEqual(all.slice(2));
      await subject.store.transaction((tx) => tx.executions.delete("aex-2"));
      expect(await contexts()).toEqual(all.slice(4));
      expect(await resources.count({ kind: "Session" })).toBe(3);
    });

    it("goes on from a snapshot taken in mid-run", async () => {
      const { executions } = subject.store;
      await executions.insert(execution({ id: "aex-1" }));
      await append({});
      await append({ expectedRevision: 2, snapshot: bytes(9) });
      await append({ expectedRevision: 3, delta: bytes(4) });
      expect(await executions.snapshot("aex-1")).toEqual({ revision: 3, status: bytes(9) });
      expect(await executions.log("aex-1", 0)).toEqual([{ revision: 4, delta: bytes(4) }]);
      expect(await executions.get("aex-1")).toMatchObject({ revision: 4, ended: false });
    });

    it("finds runs that nobody would end", async () => {
      const { executions, tasks } = subject.store;
      for (const id of ["aex-1", "aex-2", "aex-3"]) await executions.insert(execution({ id }));
      await tasks.enqueue(task("aex-2"));
      await append({ id: "aex-3", snapshot: bytes(9), ends: true });
      expect(await executions.orphans()).toEqual(["aex-1"]);
    });

    it("takes a change that is about the place of the run's task only while it is there", async () => {
      const { executions, tasks, queue } = subject.store;
      await executions.insert(execution({ id: "aex-1" }));
      expect(await append({ place: "waiting" })).toEqual({ kind: "elsewhere" });
      expect(await append({ place: "over" })).toEqual({ kind: "appended", revision: 2 });
      await tasks.enqueue(task("aex-1"));
      const place = async (): Promise<string | undefined> => (await executions.writeState("aex-1"))?.taskPlace;
      expect(await place()).toBe("waiting");
      expect(await append({ expectedRevision: 2, place: "waiting" })).toEqual({ kind: "appended", revision: 3 });
      await queue.pause("aex-1", "");
      expect(await place()).toBe("resting");
      expect(await append({ expectedRevision: 3, place: "waiting" })).toEqual({ kind: "elsewhere" });
      await queue.resume("aex-1");
      await queue.lease({ queue: "q", runnerId: "r1", now: 1, leaseMs: 1, maxAttempts: 5 });
      await queue.pause("aex-1", "");
      expect(await place()).toBe("held");
      await queue.expire({ now: 9, failure: "" });
      expect(await place()).toBe("resting");
      await queue.requestCancel("aex-1", "");
      expect(await place()).toBe("ending");
      await queue.end("aex-1");
      expect(await place()).toBe("over");
    });

    it("lets the run's task rest with the change that says so, and only with that", async () => {
      const { executions, tasks, queue } = subject.store;
      await executions.insert(execution({ id: "aex-1" }));
      await tasks.enqueue(task("aex-1"));
      const take = () => queue.lease({ queue: "q", runnerId: "r1", now: 1, leaseMs: 1, maxAttempts: 5 });
      const isAtRest = async () => (await queue.leased("aex-1", { seen: 0 }))?.task.atRest;
      await take();
      expect(await append({ fence: 2, rests: true })).toMatchObject({ kind: "stale-fence" });
      expect(await append({ fence: 1, expectedRevision: 7, rests: true })).toMatchObject({ kind: "moved" });
      await append({ fence: 1 });
      expect(await isAtRest()).toBeUndefined();
      const change = { expectedRevision: 2, fence: 1, sequence: 1, rests: true, summary: { phase: 7 } };
      expect(await append(change)).toEqual({ kind: "appended", revision: 3 });
      expect(await isAtRest()).toBe(true);
      await queue.resume("aex-1");
      expect(await append(change)).toMatchObject({ kind: "repeated" });
      expect(await isAtRest()).toBeUndefined();
      await append({ expectedRevision: 3, fence: 1, rests: true, snapshot: bytes(9) });
      await queue.expire({ now: 9, failure: "" });
      expect((await executions.writeState("aex-1"))?.taskPlace).toBe("resting");
      await queue.resume("aex-1");
      expect((await executions.writeState("aex-1"))?.taskPlace).toBe("waiting");
      await append({ expectedRevision: 4, fence: 1, rests: true });
      expect((await executions.writeState("aex-1"))?.taskPlace).toBe("resting");
    });

    it("ends its holder's lease with the change that ends the run, where nothing waits in the task's inbox", async () => {
      const { executions, tasks, queue } = subject.store;
      const ids = ["aex-1", "aex-2", "aex-3", "aex-4", "aex-5"] as const;
      for (const id of ids) {
        await executions.insert(execution({ id }));
        await tasks.enqueue(task(id, { sessionId: "", org: "" }));
        await queue.lease({ queue: "q", runnerId: "r1", now: 1, leaseMs: 1, maxAttempts: 5 });
      }
      const place = async (id: string) => (await executions.writeState(id))?.taskPlace;
      const last = { fence: 1, sequence: 1, snapshot: bytes(9), ends: true, endsLeaseOf: "r1" } as const;
      const ended = { kind: "appended", revision: 2, leaseEnded: true };

      expect(await append({ ...last, fence: 2 })).toMatchObject({ kind: "stale-fence" });
      expect(await append({ ...last, expectedRevision: 7 })).toMatchObject({ kind: "moved" });
      expect(await place("aex-1")).toBe("held");
      expect(await append(last)).toEqual(ended);
      expect(await place("aex-1")).toBe("over");
      expect(await append(last)).toEqual({ kind: "repeated", revision: 2 });
      expect(await queue.complete({ taskId: "aex-1", fence: 1 }, "r1")).toBe(true);

      // Another runner's, what does not end the run, and what says nothing of it.
      const kept = { kind: "appended", revision: 2 };
      expect(await append({ ...last, id: "aex-2", endsLeaseOf: "r2" })).toEqual(kept);
      expect(await append({ ...last, id: "aex-3", ends: false })).toEqual(kept);
      expect(await append({ ...last, id: "aex-4", endsLeaseOf: undefined })).toEqual(kept);
      await queue.deliver("aex-5", { id: "m1", payload: bytes(1) });
      expect(await append({ ...last, id: "aex-5" })).toEqual(kept);
      for (const id of ids.slice(1)) expect(await place(id)).toBe("held");
      expect(await queue.inbox("aex-5", { seen: 0 })).toHaveLength(1);
    });

    it("ends no lease that was lost before", async () => {
      const { executions, tasks, queue } = subject.store;
      await executions.insert(execution({ id: "aex-1" }));
      await tasks.enqueue(task("aex-1"));
      await queue.lease({ queue: "q", runnerId: "r1", now: 1, leaseMs: 1, maxAttempts: 5 });
      await queue.expire({ now: 9, failure: "" });
      const last = { fence: 1, sequence: 1, snapshot: bytes(9), ends: true, endsLeaseOf: "r1" } as const;
      expect(await append(last)).toEqual({ kind: "appended", revision: 2 });
      expect((await executions.writeState("aex-1"))?.taskPlace).toBe("waiting");
    });

    it("finds runs whose phase is not where their task is", async () => {
      const { executions, tasks, queue } = subject.store;
      const PAUSED = 7;
      const WAITING_FOR_APPROVAL = 6;
      const resting = [PAUSED, WAITING_FOR_APPROVAL] as const;
      for (const [id, phase] of [
        ["aex-1", 1],
        ["aex-2", PAUSED],
        ["aex-3", 2],
        ["aex-4", PAUSED],
        ["aex-5", PAUSED],
        ["aex-6", WAITING_FOR_APPROVAL],
        ["aex-7", WAITING_FOR_APPROVAL],
      ] as const) {
        await executions.insert(execution({ id, phase }));
        await tasks.enqueue(task(id, { sessionId: "", org: "" }));
      }
      expect(await executions.misplaced(resting)).toEqual(["aex-2", "aex-4", "aex-5", "aex-6", "aex-7"]);
      for (const id of ["aex-1", "aex-2", "aex-3", "aex-6"]) await queue.pause(id, "");
      await queue.requestCancel("aex-3", "");
      await append({ id: "aex-5", snapshot: bytes(9), ends: true });
      expect(await executions.misplaced(resting)).toEqual(["aex-1", "aex-4", "aex-7"]);
      expect((await queue.lease({ queue: "q", runnerId: "r1", now: 1, leaseMs: 1, maxAttempts: 5 }))?.id).toBe("aex-4");
      expect(await executions.misplaced(resting)).toEqual(["aex-1", "aex-7"]);
    });

    it("lists newest first by session, agent, phase, tags and life", async () => {
      const { executions } = subject.store;
      await executions.insert(execution({ id: "aex-1", createdAt: 1, tags: ["x"], labels: { team: "a" } }));
      await executions.insert(execution({ id: "aex-2", createdAt: 2, sessionId: "ses-2", agentId: "agt-2", phase: 3 }));
      await executions.insert(execution({ id: "aex-3", createdAt: 3, org: "other" }));
      await append({ snapshot: bytes(9), ends: true });
      const ids = async (filter: object): Promise<string[]> =>
        (await executions.list(filter, { limit: 9 })).map(({ id }) => id);
      expect(await ids({})).toEqual(["aex-3", "aex-2", "aex-1"]);
      expect(await ids({ org: "local" })).toEqual(["aex-2", "aex-1"]);
      expect(await ids({ sessionId: "ses-2" })).toEqual(["aex-2"]);
      expect(await ids({ agentId: "agt-1" })).toEqual(["aex-3", "aex-1"]);
      expect(await ids({ phase: 3 })).toEqual(["aex-2"]);
      expect(await ids({ tags: ["x"] })).toEqual(["aex-1"]);
      expect(await ids({ labels: { team: "a" } })).toEqual(["aex-1"]);
      expect(await ids({ labels: { team: "b" } })).toEqual([]);
      expect(await ids({ live: true })).toEqual(["aex-3", "aex-2"]);
      expect(await executions.count({ org: "local" })).toBe(2);
      expect(await executions.count({}, 2)).toBe(2);
      expect(await executions.revisions(["aex-1", "aex-3", "aex-9"])).toEqual(
        new Map([
          ["aex-1", 2],
          ["aex-3", 1],
        ]),
      );
      const after = await executions.list({}, { limit: 9, after: { createdAt: 3, id: "aex-3" } });
      expect(after.map(({ id }) => id)).toEqual(["aex-2", "aex-1"]);
    });

    it("deletes a run with its log, its task and what was sent to it", async () => {
      const { executions, tasks, queue } = subject.store;
      await executions.insert(execution({ id: "aex-1" }));
      await tasks.enqueue(task("aex-1"));
      await queue.deliver("aex-1", { id: "m", payload: bytes(1) });
      await append({});
      expect(await executions.delete("aex-1")).toBe(true);
      expect(await executions.delete("aex-1")).toBe(false);
      expect(await executions.log("aex-1", 0)).toEqual([]);
      expect(await executions.snapshot("aex-1")).toBeUndefined();
      expect(await tasks.state("aex-1")).toBeUndefined();
      expect(await append({})).toEqual({ kind: "missing" });
      await executions.insert(execution({ id: "aex-1" }));
      await tasks.enqueue(task("aex-1"));
      expect(await queue.inbox("aex-1", { seen: 0 })).toEqual([]);
    });

    it("replaces the body and leaves the status", async () => {
      const { executions } = subject.store;
      await executions.insert(execution({ id: "aex-1" }));
      await executions.replaceBody("aex-1", { name: "new", labels: { a: "b" }, tags: ["t"], body: bytes(5) });
      const changed = { name: "new", labels: { a: "b" }, tags: ["t"], body: bytes(5), revision: 1 };
      expect(await executions.get("aex-1")).toMatchObject(changed);
      expect(await executions.snapshot("aex-1")).toEqual({ revision: 1, status: bytes(2) });
    });
  });
}
