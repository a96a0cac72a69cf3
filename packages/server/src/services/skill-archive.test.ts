import { Code } from "@connectrpc/connect";
import { strToU8, type Zippable, zipSync } from "fflate";
import { describe, expect, it } from "vitest";
import { readSkillArchive } from "./skill-archive.ts";

const SKILL = strToU8("---\nname: a\ndescription: d\n---\nText\n");

function zip(files: Zippable): Uint8Array {
  return zipSync({ "SKILL.md": SKILL, ...files });
}

const skillMd = (text: string): Uint8Array => zipSync({ "SKILL.md": strToU8(text) });

/** A file with a Unix mode, as Info-ZIP writes it. */
function withMode(content: string, mode: number): [Uint8Array, { os: number; attrs: number }] {
  return [strToU8(content), { os: 3, attrs: (mode << 16) >>> 0 }];
}

/** Writes another number over a 32-bit field of the central directory's entry for `name`. */
function forge(
  archive: Uint8Array,
  { name, field, value }: { name: string; field: number; value: number },
): Uint8Array {
  const copy = Buffer.from(archive);
  for (let at = copy.indexOf("PK\u0001\u0002"); at !== -1; at = copy.indexOf("PK\u0001\u0002", at + 1)) {
    if (copy.toString("utf8", at + 46, at + 46 + copy.readUInt16LE(at + 28)) === name)
      copy.writeUInt32LE(value, at + field);
  }
  return copy;
}

describe("readSkillArchive", () => {
  it("reads the text and what the frontmatter says", async () => {
    const read = await readSkillArchive(zip({ "a/b.txt": strToU8("b"), "empty/": new Uint8Array() }));
    expect(read).toMatchObject({ name: "a", description: "d", skillMd: "---\nname: a\ndescription: d\n---\nText\n" });
    expect(read.hash).toMatch(/^[0-9a-f]{64}$/);
    const run = await readSkillArchive(zip({ "run.sh": withMode("#!/bin/sh", 0o100755) }));
    expect(run.name).toBe("a");
  });

  const refused: [why: string, artifact: () => Uint8Array, message: RegExp][] = [
    ["something else than a zip", () => strToU8("not a zip"), /not a sound zip/],
    ["a cut zip", () => zip({ "a.txt": strToU8("a".repeat(99)) }).subarray(0, 150), /not a sound zip/],
    ["no SKILL.md", () => zipSync({ "README.md": SKILL }), /no SKILL\.md at its root/],
    ["SKILL.md in a folder", () => zipSync({ "skill/SKILL.md": SKILL }), /no SKILL\.md at its root/],
    ["an empty SKILL.md", () => zipSync({ "SKILL.md": strToU8(" \n") }), /empty SKILL\.md/],
    ["a SKILL.md that is no text", () => zipSync({ "SKILL.md": new Uint8Array([0xff, 0xfe, 0x80]) }), /not UTF-8/],
    ["a way out", () => zip({ "../evil.sh": strToU8("x") }), /not a sound zip.*\.\./],
    ["a hidden way out", () => zip({ "a/../../evil.sh": strToU8("x") }), /not a sound zip.*\.\./],
    ["an absolute path", () => zip({ "/etc/passwd": strToU8("x") }), /not a sound zip.*absolute/],
    ["a Windows path", () => zip({ "a\\..\\..\\evil": strToU8("x") }), /not a sound zip.*invalid characters/],
    ["a symbolic link", () => zip({ link: withMode("/etc/passwd", 0o120777) }), /symbolic link, link/],
    ["a device", () => zip({ dev: withMode("", 0o020666) }), /special file, dev/],
    ["no frontmatter", () => skillMd("Just text"), /not sound: frontmatter \(line 1\): is missing/],
    [
      "frontmatter that is no YAML",
      () => skillMd("---\na: [\n---\n"),
      /not sound: frontmatter \(line \d\): is not valid YAML/,
    ],
    [
      "all that breaks the rules of agentskills.io",
      () => skillMd("---\nname: No Name\nmetadata: none\n---\n"),
      /not sound: name \(line 2\): may hold only.*; description: is missing; metadata \(line 3\): must be a map/,
    ],
    [
      "an entry larger than it says",
      () => forge(zip({ "a.txt": strToU8("a".repeat(2000)) }), { name: "a.txt", field: 24, value: 10 }),
      /not a sound zip/,
    ],
  ];

  it.each(refused)("refuses %s", async (_why, artifact, message) => {
    await expect(readSkillArchive(artifact())).rejects.toMatchObject({
      code: Code.InvalidArgument,
      rawMessage: expect.stringMatching(message) as string,
    });
  });

  const tooLarge: [why: string, artifact: () => Uint8Array, message: RegExp][] = [
    ["a bomb", () => zip({ zeros: new Uint8Array(5_000_000) }), /more than 100 times its size/],
    [
      "a bomb that says how large it is",
      () => forge(zip({ zeros: new Uint8Array(1000) }), { name: "zeros", field: 24, value: 600_000_000 }),
      /more than 524288000 bytes/,
    ],
    [
      "too many files",
      () => zip(Object.fromEntries(Array.from({ length: 10_000 }, (_, index) => [`f${index}`, new Uint8Array()]))),
      /more than 10000 files/,
    ],
    [
      "a SKILL.md of more than 1 MB",
      () =>
        zipSync(
          { "SKILL.md": new Uint8Array(1024 * 1024 + 1).map((_, index) => 97 + ((index * 7919) % 26)) },
          { level: 0 },
        ),
      /SKILL\.md of 1048577 bytes/,
    ],
    ["an archive of more than 100 MB", () => new Uint8Array(100 * 1024 * 1024 + 1), /has 104857601 bytes/],
  ];

  it.each(tooLarge)("refuses %s", async (_why, artifact, message) => {
    await expect(readSkillArchive(artifact())).rejects.toMatchObject({
      code: Code.ResourceExhausted,
      rawMessage: expect.stringMatching(message) as string,
    });
  });
});
