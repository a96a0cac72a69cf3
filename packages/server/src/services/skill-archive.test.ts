import { Code } from "@connectrpc/connect";
import { buildZip, hostileArchives } from "@stigmer/skills/hostile-archives";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openTestServer, type TestServer } from "./__fixtures__/open-test-server.ts";

// The corpus of @stigmer/skills, pushed over the wire.

let server: TestServer;
beforeAll(async () => {
  server = await openTestServer();
});
afterAll(() => server.dispose());

describe("a push", () => {
  const refused = hostileArchives.flatMap((each) => (each.outcome === "sound" ? [] : [[each.title, each] as const]));
  it.each(refused)("is refused of an archive with %s", async (_title, { make, outcome, message }) => {
    const artifact = make();
    const isEmpty = artifact.length === 0;
    const code = outcome === "archive-too-large" ? Code.ResourceExhausted : Code.InvalidArgument;
    await expect(server.skills.push({ name: "hostile", artifact })).rejects.toMatchObject({
      code,
      rawMessage: expect.stringMatching(isEmpty ? /artifact/ : /^artifact: /) as string,
      message: expect.stringMatching(isEmpty ? /./ : (message ?? /./)) as string,
    });
    expect((await server.skills.list({})).items).toEqual([]);
  });

  const sound = hostileArchives.flatMap((each) => (each.outcome === "sound" ? [[each.title, each] as const] : []));
  it.each(sound)("is taken of an archive with %s", async (_title, { make }) => {
    const artifact = make();
    const { metadata, status } = await server.skills.push({ name: "hostile", artifact });
    const stored = await server.skills.getArtifact({ artifactStorageKey: status?.artifactStorageKey });
    expect(Buffer.from(stored.artifact).equals(artifact)).toBe(true);
    await server.skills.delete({ value: metadata?.id });
  });

  it("says where in SKILL.md the mistake is", async () => {
    const artifact = buildZip([{ name: "SKILL.md", content: "---\nname: a\ndescription: d\nmetadata: none\n---\n" }]);
    await expect(server.skills.push({ name: "a", artifact })).rejects.toMatchObject({
      rawMessage: "artifact: has a SKILL.md that is not sound: metadata (line 4): must be a map of texts",
    });
  });
});
