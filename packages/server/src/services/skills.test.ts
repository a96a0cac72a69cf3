import { createHash } from "node:crypto";
import { Code } from "@connectrpc/connect";
import { SkillState } from "@stigmer/protos/skill/v1";
import { strToU8, zipSync } from "fflate";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { openTestServer, type TestServer } from "./__fixtures__/open-test-server.ts";

let server: TestServer;
beforeEach(async () => {
  server = await openTestServer();
});
afterEach(() => server.dispose());

function archive(body: string, files: Record<string, Uint8Array> = {}, name = "greeter"): Uint8Array {
  const text = `---\nname: ${name}\ndescription: Says hello.\n---\n${body}\n`;
  return zipSync({ "SKILL.md": strToU8(text), ...files }, { mtime: new Date("2026-01-01") });
}

const hashOf = (artifact: Uint8Array): string => createHash("sha256").update(artifact).digest("hex");

describe("push", () => {
  it("stores the archive under its hash, also over a restart", async () => {
    const artifact = archive("Say hello.", { "scripts/hi.sh": strToU8("echo hi") });
    const skill = await server.skills.push({ name: "greeter", artifact });
    expect(skill).toMatchObject({
      apiVersion: "agentic.stigmer.ai/v1",
      kind: "Skill",
      metadata: {
        name: "greeter",
        slug: "greeter",
        org: "local",
        annotations: { "stigmer.ai/description": "Says hello." },
      },
      spec: { skillMd: "---\nname: greeter\ndescription: Says hello.\n---\nSay hello.\n", tag: "" },
      status: { versionHash: hashOf(artifact), state: SkillState.READY },
    });
    server = await server.restart();
    expect(await server.skills.get({ value: skill.metadata?.id })).toEqual(skill);
    const stored = await server.skills.getArtifact({ artifactStorageKey: skill.status?.artifactStorageKey });
    expect(hashOf(stored.artifact)).toBe(hashOf(artifact));
  });

  it("changes nothing when the same content is pushed again", async () => {
    const request = { name: "greeter", artifact: archive("One."), tag: "stable" };
    const first = await server.skills.push(request);
    expect(await server.skills.push(request)).toEqual(first);
    expect(await server.skills.push({ ...request, tag: "" })).toEqual(first);
    expect((await server.skills.list({})).items).toEqual([first]);
  });

  it("keeps older versions by hash and tag, moves tags, and gives the newest else", async () => {
    const [one, two] = [archive("One."), archive("Two.")];
    const first = await server.skills.push({ name: "greeter", artifact: one, tag: "stable" });
    const second = await server.skills.push({ name: "greeter", artifact: two });
    expect(second.metadata?.id).toBe(first.metadata?.id);
    const get = async (version: string) =>
      (await server.skills.getByReference({ slug: "greeter", version })).status?.versionHash;
    expect(await get("")).toBe(hashOf(two));
    expect(await get("latest")).toBe(hashOf(two));
    expect(await get("stable")).toBe(hashOf(one));
    expect(await get(hashOf(one))).toBe(hashOf(one));
    expect(await get(hashOf(one).toUpperCase())).toBe(hashOf(one));
    await server.skills.push({ name: "greeter", artifact: two, tag: "stable" });
    expect(await get("stable")).toBe(hashOf(two));
    await server.skills.push({ name: "greeter", artifact: one });
    expect(await get("latest")).toBe(hashOf(one));
    await expect(get("beta")).rejects.toMatchObject({ code: Code.NotFound });
    await expect(get("f".repeat(64))).rejects.toMatchObject({ code: Code.NotFound });
  });

  it("refuses a name that the frontmatter does not say", async () => {
    await expect(server.skills.push({ name: "other", artifact: archive("One.") })).rejects.toMatchObject({
      code: Code.InvalidArgument,
      rawMessage: 'name: is "other", but the frontmatter of SKILL.md says "greeter": make them the same',
    });
    expect((await server.skills.push({ name: "Greeter", artifact: archive("One.") })).metadata?.slug).toBe("greeter");
  });

  it("refuses a SKILL.md that no run could use, and stores nothing of it", async () => {
    await expect(
      server.skills.push({ name: "Greeter", artifact: archive("One.", {}, "Greeter") }),
    ).rejects.toMatchObject({
      code: Code.InvalidArgument,
      rawMessage: expect.stringMatching(/^artifact: has a SKILL\.md that is not sound: name \(line 2\): /) as string,
    });
    expect((await server.skills.list({})).items).toEqual([]);
  });
});

describe("delete", () => {
  it("removes all versions, and artifacts that no other skill has", async () => {
    const [shared, own] = [archive("Shared."), archive("Own.")];
    const a = await server.skills.push({ name: "greeter", artifact: shared });
    await server.skills.push({ name: "greeter", artifact: own });
    await server.skills.push({ name: "greeter", org: "other", artifact: shared });
    await server.skills.delete({ value: a.metadata?.id });
    await expect(server.skills.getByReference({ slug: "greeter" })).rejects.toMatchObject({ code: Code.NotFound });
    await expect(server.skills.getArtifact({ artifactStorageKey: hashOf(own) })).rejects.toMatchObject({
      code: Code.NotFound,
    });
    expect((await server.skills.getArtifact({ artifactStorageKey: hashOf(shared) })).artifact).toHaveLength(
      shared.length,
    );
    await expect(server.skills.getArtifact({ artifactStorageKey: "../x" })).rejects.toMatchObject({
      code: Code.NotFound,
    });
  });
});

it("gives an archive to nobody who may not read a skill with it", async () => {
  await server.dispose();
  server = await openTestServer({ mode: "cloud" });
  const as = (org: string) => ({ headers: { "x-org": org } });
  const request = { name: "greeter", artifact: archive("One.") };
  const { status, metadata } = await server.skills.push({ ...request, org: "acme" }, as("acme"));
  const key = { artifactStorageKey: status?.artifactStorageKey };
  expect((await server.skills.getArtifact(key, as("acme"))).artifact).toHaveLength(request.artifact.length);
  await expect(server.skills.getArtifact(key, as("other"))).rejects.toMatchObject({ code: Code.NotFound });
  // Who pushes the same has it.
  await server.skills.push({ ...request, org: "other" }, as("other"));
  await server.skills.delete({ value: metadata?.id }, as("acme"));
  expect((await server.skills.getArtifact(key, as("other"))).artifact).toHaveLength(request.artifact.length);
  await expect(server.skills.getArtifact(key, as("acme"))).rejects.toMatchObject({ code: Code.NotFound });
});
