import { describe, expect, it } from "vitest";
import { execution, task } from "./executions.ts";
import type { Subject } from "./index.ts";
import { resource } from "./resources.ts";

export function transactionCases(subject: Subject): void {
  describe("transactions", () => {
    it("stores all of it or nothing, and sees its own writes", async () => {
      const failed = subject.store.transaction(async (tx) => {
        await tx.executions.insert(execution({ id: "aex-1" }));
        await tx.tasks.enqueue(task("aex-1"));
        expect(await tx.executions.get("aex-1")).toBeDefined();
        throw new Error("no");
      });
      await expect(failed).rejects.toThrow("no");
      expect(await subject.store.executions.get("aex-1")).toBeUndefined();
      expect(await subject.store.tasks.state("aex-1")).toBeUndefined();
      await subject.store.transaction(async (tx) => {
        await tx.executions.insert(execution({ id: "aex-1" }));
        await tx.tasks.enqueue(task("aex-1"));
      });
      const store = await subject.reopen();
      expect(await store.executions.get("aex-1")).toBeDefined();
      expect(await store.tasks.state("aex-1")).toEqual({ state: "waiting", fence: 0 });
    });

    it("keeps what happens at the same time apart: one fails, the others are stored", async () => {
      const { resources } = subject.store;
      const outcomes = await Promise.allSettled([
        resources.insert(resource({ id: "agt-1", slug: "one" })),
        resources.insert(resource({ id: "agt-2", slug: "one" })),
        subject.store.transaction(async (tx) => {
          await tx.resources.insert(resource({ id: "agt-3" }));
          throw new Error("no");
        }),
        resources.insert(resource({ id: "agt-4" })),
      ]);
      expect(outcomes.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "rejected", "fulfilled"]);
      const stored = await resources.list({ kind: "Agent" }, { limit: 9 });
      expect(stored.map(({ id }) => id).toSorted()).toEqual(["agt-1", "agt-4"]);
    });

    it("loses no update when transactions read and then write", async () => {
      await subject.store.resources.insert(resource({ id: "agt-1", name: "0" }));
      const increments = Array.from({ length: 20 }, () =>
        subject.store.transaction(async (tx) => {
          const current = await tx.resources.get("Agent", "agt-1");
          if (!current) throw new Error("missing");
          await tx.resources.replace({ ...current, name: String(Number(current.name) + 1) }, current.version);
        }),
      );
      await Promise.all(increments);
      expect(await subject.store.resources.get("Agent", "agt-1")).toMatchObject({ name: "20" });
    });

    it("finishes writes before it closes, and then refuses more", async () => {
      const { store } = subject;
      const write = store.resources.insert(resource({ id: "agt-1" }));
      await store.close();
      await write;
      await expect(store.resources.get("Agent", "agt-1")).rejects.toMatchObject({ code: "closed" });
      await expect(store.resources.insert(resource({ id: "agt-2" }))).rejects.toMatchObject({ code: "closed" });
      expect(await (await subject.reopen()).resources.get("Agent", "agt-1")).toBeDefined();
    });
  });
}
