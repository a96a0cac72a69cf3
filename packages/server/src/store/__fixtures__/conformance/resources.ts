import { describe, expect, it } from "vitest";
import type { ResourceRecord } from "../../resource-store.ts";
import type { Subject } from "./index.ts";

/** A resource with everything that a case does not care about. */
export function resource(change: Partial<ResourceRecord> & Pick<ResourceRecord, "id">): ResourceRecord {
  const createdAt = change.createdAt ?? 1_000;
  return {
    kind: "Agent",
    org: "local",
    ownerScope: 2,
    slug: change.id,
    name: change.id,
    parentId: "",
    labels: {},
    tags: [],
    version: "ver-1",
    createdAt,
    updatedAt: createdAt,
    body: new Uint8Array([1, 2, 3]),
    ...change,
  };
}

export function resourceCases(subject: Subject): void {
  describe("resources", () => {
    it("gives back what was stored, by id and by address, also after a restart", async () => {
      const record = resource({ id: "agt-1", labels: { team: "a" }, tags: ["x", "y"], body: new Uint8Array([0, 255]) });
      await subject.store.resources.insert(record);
      const store = await subject.reopen();
      expect(await store.resources.get("Agent", "agt-1")).toEqual(record);
      expect(await store.resources.getByAddress({ kind: "Agent", org: "local", ownerScope: 2, slug: "agt-1" })).toEqual(
        record,
      );
      expect(await store.resources.get("Session", "agt-1")).toBeUndefined();
    });

    it("refuses an id and an address that are taken, and only those", async () => {
      const { resources } = subject.store;
      await resources.insert(resource({ id: "agt-1", slug: "a" }));
      await expect(resources.insert(resource({ id: "agt-1", slug: "b" }))).rejects.toMatchObject({
        code: "already-exists",
      });
      await expect(resources.insert(resource({ id: "agt-2", slug: "a" }))).rejects.toMatchObject({
        code: "already-exists",
      });
      await resources.insert(resource({ id: "agt-3", slug: "a", org: "other" }));
      await resources.insert(resource({ id: "agt-4", slug: "a", ownerScope: 1 }));
      await resources.insert(resource({ id: "agt-1", slug: "a", kind: "Skill" }));
      expect(await resources.count({ kind: "Agent" })).toBe(3);
    });

    it("replaces only the version that was read", async () => {
      const { resources } = subject.store;
      await resources.insert(resource({ id: "agt-1" }));
      await resources.replace(resource({ id: "agt-1", version: "ver-2", name: "new" }), "ver-1");
      const late = resources.replace(resource({ id: "agt-1", version: "ver-3", name: "late" }), "ver-1");
      await expect(late).rejects.toMatchObject({ code: "conflict" });
      expect(await resources.get("Agent", "agt-1")).toMatchObject({ name: "new", version: "ver-2" });
    });

    it("lists newest first in pages that stay right while others write", async () => {
      const { resources } = subject.store;
      for (const [id, createdAt] of [
        ["a", 1],
        ["b", 2],
        ["c", 2],
        ["d", 3],
      ] as const) {
        await resources.insert(resource({ id, createdAt }));
      }
      const first = await resources.list({ kind: "Agent" }, { limit: 2 });
      expect(first.map(({ id }) => id)).toEqual(["d", "c"]);
      await resources.insert(resource({ id: "e", createdAt: 9 }));
      await resources.delete("Agent", "c");
      const next = await resources.list({ kind: "Agent" }, { limit: 9, after: { createdAt: 2, id: "c" } });
      expect(next.map(({ id }) => id)).toEqual(["b", "a"]);
    });

    it("filters by organisation, parents, tags and labels", async () => {
      const { resources } = subject.store;
      await resources.insert(resource({ id: "agt-1" }));
      await resources.insert(resource({ id: "ain-1", kind: "AgentInstance", parentId: "agt-1" }));
      await resources.insert(
        resource({ id: "ses-1", kind: "Session", parentId: "ain-1", tags: ["x", "y"], labels: { "a.b": "1" } }),
      );
      await resources.insert(resource({ id: "ses-2", kind: "Session", parentId: "ain-9", tags: ["x"], org: "other" }));
      const ids = async (filter: object): Promise<string[]> =>
        (await resources.list({ kind: "Session", ...filter }, { limit: 9 })).map(({ id }) => id).toSorted();
      expect(await ids({})).toEqual(["ses-1", "ses-2"]);
      expect(await ids({ org: "other" })).toEqual(["ses-2"]);
      expect(await ids({ parentId: "ain-1" })).toEqual(["ses-1"]);
      expect(await ids({ grandparentId: "agt-1" })).toEqual(["ses-1"]);
      expect(await ids({ tags: ["x"] })).toEqual(["ses-1", "ses-2"]);
      expect(await ids({ tags: ["x", "y"] })).toEqual(["ses-1"]);
      expect(await ids({ labels: { "a.b": "1" } })).toEqual(["ses-1"]);
      expect(await ids({ labels: { "a.b": "2" } })).toEqual([]);
      expect(await resources.count({ kind: "Session", tags: ["x"] })).toBe(2);
      expect(await resources.count({ kind: "Session", tags: ["x"] }, 1)).toBe(1);
    });

    it("deletes once", async () => {
      const { resources } = subject.store;
      await resources.insert(resource({ id: "agt-1" }));
      expect(await resources.delete("Agent", "agt-1")).toBe(true);
      expect(await resources.delete("Agent", "agt-1")).toBe(false);
      expect(await resources.get("Agent", "agt-1")).toBeUndefined();
    });
  });
}
