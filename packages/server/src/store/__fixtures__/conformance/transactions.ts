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
      expect(await store.tasks.state("aex-1")).toEqual({ state: "waiting", fence: 0, claimId: "" });
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
      const [first, second, ...others] = outcomes.map(({ status }) => status);
      expect([first, second].toSorted()).toEqual(["fulfilled", "rejected"]);
      expect(others).toEqual(["rejected", "fulfilled"]);
      const stored = await resources.list({ kind: "Agent" }, { limit: 9 });
      expect(stored.map(({ id }) => id).toSorted()).toEqual([first === "fulfilled" ? "agt-1" : "agt-2", "agt-4"]);
    });

    it("shows nobody else what a transaction has done before it is over", async () => {
      const { store } = subject;
      await store.resources.insert(resource({ id: "agt-1" }));
      const count = (): Promise<number> => store.resources.count({ kind: "Agent" });
      const [begun, going] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
      const working = store.transaction(async (tx) => {
        await tx.resources.insert(resource({ id: "agt-2" }));
        begun.resolve();
        await going.promise;
        throw new Error("no");
      });
      await begun.promise;
      expect(await count()).toBe(1);
      going.resolve();
      await expect(working).rejects.toThrow("no");
      expect(await count()).toBe(1);
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

    it("goes on after what the store refused, and stores the rest", async () => {
      const { store } = subject;
      await store.resources.insert(resource({ id: "agt-1" }));
      await store.resources.insert(resource({ id: "agt-2" }));
      await store.executions.insert(execution({ id: "aex-1" }));
      await store.transaction(async (tx) => {
        const { resources, executions } = tx;
        await expect(resources.insert(resource({ id: "agt-1" }))).rejects.toMatchObject({ code: "already-exists" });
        const taken = resources.replace(resource({ id: "agt-2", slug: "agt-1" }), "ver-1");
        await expect(taken).rejects.toMatchObject({ code: "already-exists" });
        const late = resources.replace(resource({ id: "agt-2", slug: "agt-1" }), "ver-0");
        await expect(late).rejects.toMatchObject({ code: "conflict" });
        await expect(executions.insert(execution({ id: "aex-1" }))).rejects.toMatchObject({ code: "already-exists" });
        await resources.insert(resource({ id: "agt-3" }));
      });
      expect(await store.resources.count({ kind: "Agent" })).toBe(3);
    });

    it("lets a transaction do several things at once, and nothing after its end", async () => {
      const { store } = subject;
      const tx = await store.transaction(async (given) => {
        await Promise.all(["a", "b", "c"].map((id) => given.resources.insert(resource({ id }))));
        return given;
      });
      expect(await store.resources.count({ kind: "Agent" })).toBe(3);
      await expect(tx.resources.get("Agent", "a")).rejects.toMatchObject({ code: "closed" });
    });

    it("decides by what is there when transactions that look and then write come at once", async () => {
      const outcomes = await Promise.allSettled(
        Array.from({ length: 8 }, (_, index) =>
          subject.store.transaction(async (tx) => {
            if ((await tx.resources.count({ kind: "Agent", org: "local" })) >= 3) throw new Error("enough");
            await tx.resources.insert(resource({ id: `agt-${index}` }));
          }),
        ),
      );
      expect(outcomes.filter(({ status }) => status === "fulfilled")).toHaveLength(3);
      expect(await subject.store.resources.count({ kind: "Agent" })).toBe(3);
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
