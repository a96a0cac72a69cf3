import { expect, it } from "vitest";
import { execution, task } from "./executions.ts";
import type { Subject } from "./index.ts";
import { resource } from "./resources.ts";

export function retentionCases(subject: Subject): void {
  it("finds runs that ended, oldest first and page by page", async () => {
    const { executions, retention } = subject.store;
    for (const [id, createdAt] of [
      ["aex-new", 500],
      ["aex-b", 100],
      ["aex-a", 100],
      ["aex-live", 50],
      ["aex-c", 200],
    ] as const) {
      await executions.insert(execution({ id, createdAt }));
      if (id === "aex-live") continue;
      const summary = { completedAt: `at ${createdAt}` };
      const status = new Uint8Array([1]);
      await executions.append({ id, expectedRevision: 1, delta: status, snapshot: status, summary, ends: true });
    }
    const first = await retention.finished({ before: 500, limit: 2 });
    expect(first).toEqual([
      { id: "aex-a", createdAt: 100, completedAt: "at 100" },
      { id: "aex-b", createdAt: 100, completedAt: "at 100" },
    ]);
    expect((await retention.finished({ before: 500, after: first[1], limit: 2 })).map(({ id }) => id)).toEqual(["aex-c"]);
    expect(await retention.finished({ before: 100, limit: 9 })).toEqual([]);
  });

  it("finds sessions without a run, unless they are new or were changed", async () => {
    const { resources, executions, retention } = subject.store;
    const session = (id: string, times: { createdAt: number; updatedAt: number }) =>
      resources.insert(resource({ kind: "Session", id, slug: id, ...times }));
    await session("ses-old", { createdAt: 10, updatedAt: 10 });
    await session("ses-used", { createdAt: 10, updatedAt: 10 });
    await session("ses-changed", { createdAt: 10, updatedAt: 100 });
    await session("ses-new", { createdAt: 100, updatedAt: 100 });
    await session("ses-older", { createdAt: 5, updatedAt: 20 });
    await resources.insert(resource({ kind: "Agent", id: "agt-old", slug: "old", createdAt: 1, updatedAt: 1 }));
    await executions.insert(execution({ id: "aex-1", sessionId: "ses-used" }));
    expect(await retention.emptySessions({ before: 100, limit: 9 })).toEqual(["ses-older", "ses-old"]);
    expect(await retention.emptySessions({ before: 100, limit: 1 })).toEqual(["ses-older"]);
  });

  it("finds them among many", async () => {
    const { resources, executions, retention } = subject.store;
    const snapshot = new Uint8Array([1]);
    for (let index = 0; index < 150; index += 1) {
      const id = String(1_000 + index);
      const times = { createdAt: index, updatedAt: index };
      await resources.insert(resource({ kind: "Session", id, slug: id, ...times }));
      if (index % 3 === 0) continue;
      await executions.insert(execution({ id: `aex-${id}`, sessionId: id, createdAt: index }));
      if (index % 3 === 1) continue;
      await executions.append({ id: `aex-${id}`, expectedRevision: 1, delta: snapshot, snapshot, ends: true });
    }
    const finished = await retention.finished({ before: 149, limit: 99 });
    expect(finished.map(({ createdAt }) => createdAt)).toEqual(Array.from({ length: 49 }, (_, index) => 2 + 3 * index));
    expect(await retention.finished({ before: 149, after: finished[40], limit: 99 })).toEqual(finished.slice(41));
    const empty = Array.from({ length: 50 }, (_, index) => String(1_000 + 3 * index));
    expect(await retention.emptySessions({ before: 150, limit: 99 })).toEqual(empty);
  });

  it("forgets what has cleaned up, not what is still to, and no run's task", async () => {
    const { tasks, queue, retention } = subject.store;
    for (const id of ["cleanup-1", "cleanup-2", "cleanup-3", "cleanup-new"]) {
      const createdAt = id === "cleanup-new" ? 500 : 100;
      await tasks.enqueue({ ...task(id, { sessionId: "" }), kind: "cleanup-sandbox", createdAt });
    }
    await tasks.enqueue(task("aex-1", { sessionId: "", createdAt: 100 }));
    for (const id of ["cleanup-1", "cleanup-2", "cleanup-new", "aex-1"]) await queue.end(id);
    expect(await retention.forgetCleanups({ before: 500, limit: 1 })).toBe(1);
    expect(await retention.forgetCleanups({ before: 500, limit: 9 })).toBe(1);
    expect(await retention.forgetCleanups({ before: 500, limit: 9 })).toBe(0);
    const left = ["cleanup-1", "cleanup-2", "cleanup-3", "cleanup-new", "aex-1"];
    const states = await Promise.all(left.map(async (id) => (await tasks.state(id))?.state));
    expect(states).toEqual([undefined, undefined, "waiting", "done", "done"]);
  });
}
