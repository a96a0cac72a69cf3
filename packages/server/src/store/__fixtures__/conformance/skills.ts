import { describe, expect, it } from "vitest";
import type { SkillVersion } from "../../skill-store.ts";
import type { Subject } from "./index.ts";

const HASH_A = "a".repeat(64);
const HASH_B = "b".repeat(64);

function version(skillId: string, hash: string): SkillVersion {
  return { skillId, hash, createdAt: 1, body: new Uint8Array([hash.charCodeAt(0)]) };
}

export function skillCases(subject: Subject): void {
  describe("skills", () => {
    it("finds a version by hash and by tag, and moves tags", async () => {
      const { skillVersions } = subject.store;
      await skillVersions.put(version("skl-1", HASH_A));
      await skillVersions.put(version("skl-1", HASH_B));
      await skillVersions.put({ ...version("skl-1", HASH_B), createdAt: 9 });
      await skillVersions.tag("skl-1", "stable", HASH_A);
      expect(await skillVersions.get("skl-1", HASH_B)).toEqual(version("skl-1", HASH_B));
      expect(await skillVersions.get("skl-1", "stable")).toEqual(version("skl-1", HASH_A));
      await skillVersions.tag("skl-1", "stable", HASH_B);
      expect(await skillVersions.get("skl-1", "stable")).toEqual(version("skl-1", HASH_B));
      expect(await skillVersions.get("skl-2", HASH_A)).toBeUndefined();
    });

    it("deletes all versions and names the artifacts that nobody else has", async () => {
      const { skillVersions } = subject.store;
      await skillVersions.put(version("skl-1", HASH_A));
      await skillVersions.put(version("skl-1", HASH_B));
      await skillVersions.tag("skl-1", "stable", HASH_A);
      await skillVersions.put(version("skl-2", HASH_B));
      expect(await skillVersions.skillsOf(HASH_B)).toEqual(["skl-1", "skl-2"]);
      expect(await skillVersions.deleteAll("skl-1")).toEqual([HASH_A]);
      expect(await skillVersions.skillsOf(HASH_A)).toEqual([]);
      expect(await skillVersions.skillsOf(HASH_B)).toEqual(["skl-2"]);
      expect(await skillVersions.get("skl-1", "stable")).toBeUndefined();
      expect(await skillVersions.deleteAll("skl-2")).toEqual([HASH_B]);
    });

    it("keeps artifacts by content", async () => {
      const artifact = new Uint8Array(100_000).fill(7);
      await subject.store.artifacts.put(HASH_A, artifact);
      await subject.store.artifacts.put(HASH_A, artifact);
      const { artifacts } = await subject.reopen();
      expect(Buffer.compare((await artifacts.get(HASH_A)) ?? new Uint8Array(), artifact)).toBe(0);
      expect(await artifacts.get(HASH_B)).toBeUndefined();
      await artifacts.delete(HASH_A);
      await artifacts.delete(HASH_A);
      expect(await artifacts.get(HASH_A)).toBeUndefined();
    });

    it("takes nothing but a hash as a key", async () => {
      await expect((async () => subject.store.artifacts.get("../../etc/passwd"))()).rejects.toThrow(/Not the key/);
    });
  });
}
