import { createHash } from "node:crypto";
import fc from "fast-check";
import { expect, test } from "vitest";
import { SkillError } from "../errors.ts";
import { buildZip, hostileArchives } from "../hostile-archives/index.ts";
import { openSkillArchive } from "./open-archive.ts";

const skillMd = "---\nname: tool\ndescription: d\n---\n\nText\n";

/** Takes an archive as an unpacker does. */
async function unpack(bytes: Uint8Array): Promise<Map<string, string>> {
  const archive = await openSkillArchive(bytes);
  const files = new Map<string, string>();
  for await (const { file, content } of archive.contents()) files.set(file.path, Buffer.from(content).toString());
  return files;
}

test("reads what is in an archive", async () => {
  const bytes = buildZip([
    { name: "scripts/", mode: 0o040755 },
    { name: "scripts/run.sh", content: "#!/bin/sh\n", mode: 0o100755 },
    { name: "data/table.csv", content: "a,b\n", mode: 0o100644 },
    { name: "SKILL.md", content: skillMd },
  ]);
  const archive = await openSkillArchive(bytes);
  expect(archive).toMatchObject({
    hash: createHash("sha256").update(bytes).digest("hex"),
    skillMd,
    body: "Text",
    frontmatter: { name: "tool", description: "d" },
    files: [
      { path: "scripts/run.sh", size: 10, isExecutable: true },
      { path: "data/table.csv", size: 4, isExecutable: false },
      { path: "SKILL.md", isExecutable: false },
    ],
  });
  expect([...(await unpack(bytes))]).toEqual([
    ["scripts/run.sh", "#!/bin/sh\n"],
    ["data/table.csv", "a,b\n"],
    ["SKILL.md", skillMd],
  ]);
  await archive.verify();
});

test("keeps to limits that are given", async () => {
  const bytes = buildZip([{ name: "SKILL.md", content: skillMd }, { name: "a" }, { name: "b" }]);
  for (const limit of [{ entries: 2 }, { archiveBytes: 10 }, { unpackedBytes: 10 }, { skillMdBytes: 10 }])
    await expect(openSkillArchive(bytes, limit)).rejects.toMatchObject({ code: "archive-too-large" });
});

const refused = hostileArchives.filter(({ outcome }) => outcome !== "sound").map((each) => [each.title, each] as const);
const sound = hostileArchives.filter(({ outcome }) => outcome === "sound").map((each) => [each.title, each] as const);

test.each(refused)("refuses an archive with %s", async (_, { make, outcome, message }) => {
  const bytes = make();
  const before = process.memoryUsage().arrayBuffers;
  let most = 0;
  const watching = setInterval(() => (most = Math.max(most, process.memoryUsage().arrayBuffers)), 1);
  const failure = await unpack(bytes).catch((error: unknown) => error);
  clearInterval(watching);
  expect(failure).toMatchObject({ code: outcome, message: expect.stringMatching(message ?? /./) as string });
  // Whatever it says, it never fills the memory.
  expect(most - before).toBeLessThan(16 * 1024 * 1024);
});

test.each(sound)("takes an archive with %s", async (_, { make }) => {
  expect([...(await unpack(make())).keys()]).toContain("SKILL.md");
});

test("never fails in another way, whatever bytes it is given", async () => {
  const archive = buildZip([
    { name: "SKILL.md", content: skillMd },
    { name: "a/b.txt", content: "x".repeat(300) },
  ]);
  const change = fc.record({ at: fc.nat(archive.length - 1), byte: fc.nat(255) });
  await fc.assert(
    fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 8 }), async (changes) => {
      const bytes = Uint8Array.from(archive);
      for (const { at, byte } of changes) bytes[at] = byte;
      try {
        for (const path of (await unpack(bytes)).keys()) expect(path).not.toMatch(/^\/|(^|\/)\.\.(\/|$)|\\/);
      } catch (error) {
        if (!SkillError.is(error)) throw error;
      }
    }),
    { numRuns: 200 },
  );
});
