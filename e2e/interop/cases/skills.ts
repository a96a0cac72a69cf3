import { createHash } from "node:crypto";
import { expect } from "vitest";
import { type Answer, at, idOf } from "../caller.ts";
import { PKG, type World } from "../world.ts";
import { skillZip } from "../zip.ts";
import type { Cases } from "./case.ts";

const COMMANDS = `${PKG}.skill.v1.SkillCommandController`;
const QUERIES = `${PKG}.skill.v1.SkillQueryController`;

const push = (bytes: Buffer, tag = "v1", name = "adding"): object => ({
  name,
  scope: "organization",
  org: "local",
  artifact: bytes.toString("base64"),
  tag,
});

const pushed = ({ own }: World, bytes: Buffer, tag?: string): Promise<Answer> =>
  own.call(`${COMMANDS}/push`, push(bytes, tag));

const hashOf = (bytes: Buffer): string => createHash("sha256").update(bytes).digest("hex");

export const skillCases: Cases = {
  [`${COMMANDS}/push`]: async (client, { own }) => {
    const bytes = skillZip("adding");
    const answer = await client.call(`${COMMANDS}/push`, push(bytes));
    expect(answer).toMatchObject({
      kind: "Skill",
      metadata: { slug: "adding" },
      spec: { tag: "v1", skillMd: expect.stringContaining("Add up.") as string },
      status: { versionHash: hashOf(bytes), state: "SKILL_STATE_READY" },
    });
    const key = at(answer, "status.artifactStorageKey");
    const stored = await own.call(`${QUERIES}/getArtifact`, { artifactStorageKey: key });
    expect(stored).toEqual({ artifact: bytes.toString("base64") });
    await expect(client.call(`${COMMANDS}/push`, push(Buffer.from("no zip")))).rejects.toMatchObject({
      code: "INVALID_ARGUMENT",
    });
  },
  [`${COMMANDS}/delete`]: async (client, world) => {
    const skill = await pushed(world, skillZip("adding"));
    expect(await client.call(`${COMMANDS}/delete`, { value: idOf(skill) })).toMatchObject({
      metadata: { id: idOf(skill) },
    });
    await expect(world.own.call(`${QUERIES}/get`, { value: idOf(skill) })).rejects.toMatchObject({ code: "NOT_FOUND" });
  },
  [`${QUERIES}/get`]: async (client, world) => {
    const skill = await pushed(world, skillZip("adding"));
    const answer = await client.call(`${QUERIES}/get`, { value: idOf(skill) });
    expect(answer).toMatchObject({ metadata: { slug: "adding" }, status: { state: "SKILL_STATE_READY" } });
  },
  [`${QUERIES}/getByReference`]: async (client, world) => {
    const [first, second] = [skillZip("adding"), skillZip("adding", [{ name: "more.txt", data: "more" }])];
    await pushed(world, first, "v1");
    await pushed(world, second, "v2");
    const reference = { scope: "organization", org: "local", kind: "skill", slug: "adding" };
    for (const [version, bytes] of [
      ["", second],
      ["latest", second],
      ["v1", first],
      [hashOf(first), first],
    ] as const) {
      const answer = await client.call(`${QUERIES}/getByReference`, { ...reference, version });
      expect([version, at(answer, "status.versionHash")]).toEqual([version, hashOf(bytes)]);
    }
    await expect(client.call(`${QUERIES}/getByReference`, { ...reference, version: "v3" })).rejects.toMatchObject({
      code: "NOT_FOUND",
    });
  },
  [`${QUERIES}/getArtifact`]: async (client, world) => {
    const bytes = skillZip("adding");
    const artifactStorageKey = at(await pushed(world, bytes), "status.artifactStorageKey");
    const answer = await client.call(`${QUERIES}/getArtifact`, { artifactStorageKey });
    expect(Buffer.from(at(answer, "artifact"), "base64").equals(bytes)).toBe(true);
  },
  [`${QUERIES}/list`]: async (client, world) => {
    await pushed(world, skillZip("adding"));
    expect(await client.call(`${QUERIES}/list`, { pageSize: 5 })).toMatchObject({
      kind: "SkillList",
      items: [{ metadata: { slug: "adding" } }],
    });
  },
};
