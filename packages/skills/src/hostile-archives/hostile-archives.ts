// The corpus: each archive with what must happen to it. Made when asked for, so that the large ones cost only who wants them.
import { buildZip, type ZipEntry } from "./zip-builder.ts";

export interface HostileArchive {
  /** What is wrong with it; goes on from "an archive with". */
  readonly title: string;
  readonly make: () => Uint8Array;
  /** The code of the `SkillError`; `sound` for what must be taken as it is. */
  readonly outcome: "invalid-archive" | "archive-too-large" | "sound";
  /** What the error says. */
  readonly message?: RegExp;
}

const SKILL_MD = "---\nname: hostile\ndescription: d\n---\nText\n";
const skillMd: ZipEntry = { name: "SKILL.md", content: SKILL_MD };
const zip = (...entries: ZipEntry[]): Uint8Array => buildZip([skillMd, ...entries]);
const alone = (content: string | Uint8Array, name = "SKILL.md"): Uint8Array => buildZip([{ name, content }]);
const file = (name: string, more: Partial<ZipEntry> = {}): ZipEntry => ({ name, content: "x", ...more });
const MIB = 1024 * 1024;

/** Bytes that deflate can't shorten, the same each time. */
function noise(length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  let state = 1;
  for (let at = 0; at < length; at++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    bytes[at] = state >>> 24;
  }
  return bytes;
}

/** A zip in a zip in a zip, each of which unpacks to a hundred times itself. */
function nested(depth: number): Uint8Array {
  let inner: Uint8Array = buildZip([{ name: "zeros", content: new Uint8Array(MIB) }]);
  for (let level = 0; level < depth; level++) {
    const content = inner;
    inner = buildZip(Array.from({ length: 10 }, (_, at) => ({ name: `${at}.zip`, content, stored: true })));
  }
  return inner;
}

const names: readonly (readonly [title: string, name: string, message: RegExp])[] = [
  ["a path that leads out", "../evil.sh", /\.\./],
  ["a path that leads out on the way", "a/../../evil.sh", /\.\./],
  ["a path that ends in ..", "a/..", /\.\./],
  ["an absolute path", "/etc/cron.d/evil", /absolute/],
  ["a path of a drive", "C:/evil.exe", /absolute/],
  ["a Windows path", "a\\..\\..\\evil.exe", /invalid characters|backslash/],
  ["a path with an empty part", "a//b", /empty part/],
  ["a path with a dot", "./a", /empty part/],
  ["a name with a line break", "a\nb", /can't be shown/],
  ["a name that is shown backwards", "evil\u202egnp.sh", /can't be shown/],
  ["a name with a NUL", "a.txt\0.sh", /can't be shown/],
  ["a name that no file system takes", "n".repeat(256), /too long/],
  ["a path that no system takes", Array.from({ length: 600 }, () => "d").join("/"), /too long/],
  ["no name", "", /empty part/],
];

export const hostileArchives: readonly HostileArchive[] = [
  {
    title: "nothing of a zip",
    make: () => Buffer.from("not a zip"),
    outcome: "invalid-archive",
    message: /not a sound/,
  },
  { title: "no bytes", make: () => new Uint8Array(), outcome: "invalid-archive", message: /not a sound/ },
  {
    title: "its end cut off",
    make: () => zip(file("a", { content: noise(500) })).subarray(0, 400),
    outcome: "invalid-archive",
    message: /not a sound/,
  },
  {
    title: "no SKILL.md",
    make: () => alone(SKILL_MD, "README.md"),
    outcome: "invalid-archive",
    message: /no SKILL\.md/,
  },
  {
    title: "SKILL.md in a folder",
    make: () => alone(SKILL_MD, "hostile/SKILL.md"),
    outcome: "invalid-archive",
    message: /no SKILL\.md at its root: zip the files themselves/,
  },
  {
    title: "skill.md in lower case",
    make: () => alone(SKILL_MD, "skill.md"),
    outcome: "invalid-archive",
    message: /no SKILL\.md/,
  },
  { title: "an empty SKILL.md", make: () => alone(" \n"), outcome: "invalid-archive", message: /empty SKILL\.md/ },
  {
    title: "a SKILL.md that is no text",
    make: () => alone(Uint8Array.of(0xff, 0xfe, 0x80)),
    outcome: "invalid-archive",
    message: /not UTF-8/,
  },
  {
    title: "a SKILL.md without frontmatter",
    make: () => alone("Just text"),
    outcome: "invalid-archive",
    message: /frontmatter \(line 1\): is missing/,
  },
  {
    title: "a SKILL.md that breaks several rules",
    make: () => alone("---\nname: No Name\nmetadata: none\n---\n"),
    outcome: "invalid-archive",
    message: /name \(line 2\): may hold only.*; description: is missing; metadata \(line 3\): must be a map/,
  },
  {
    title: "a YAML bomb in SKILL.md",
    make: () =>
      alone(
        `---\nname: hostile\ndescription: d\na: &a [x,x,x,x,x,x,x,x,x]\n${"bcdefghi"
          .split("")
          .map((key, at) => `${key}: &${key} [${Array(9).fill(`*${"abcdefgh"[at]}`).join(",")}]`)
          .join("\n")}\n---\n`,
      ),
    outcome: "invalid-archive",
    message: /YAML aliases/,
  },
  ...names.map(([title, name, message]): HostileArchive => ({
    title,
    make: () => zip(file(name)),
    outcome: "invalid-archive",
    message,
  })),
  {
    title: "a symbolic link out",
    make: () => zip(file("link", { content: "/etc/passwd", mode: 0o120777 })),
    outcome: "invalid-archive",
    message: /symbolic link, link/,
  },
  {
    title: "a file through a symbolic link",
    make: () => zip(file("out", { content: "/tmp", mode: 0o120777 }), file("out/evil.sh")),
    outcome: "invalid-archive",
    message: /symbolic link, out/,
  },
  ...([0o020666, 0o060666, 0o010666, 0o140666] as const).map((mode): HostileArchive => ({
    title: `a special file (${mode.toString(8)})`,
    make: () => zip(file("dev", { mode })),
    outcome: "invalid-archive",
    message: /special file, dev/,
  })),
  {
    title: "a folder that is a file",
    make: () => zip(file("a", { mode: 0o040755 })),
    outcome: "invalid-archive",
    message: /both a file and a folder/,
  },
  {
    title: "a folder with bytes",
    make: () => zip(file("a/")),
    outcome: "invalid-archive",
    message: /both a file and a folder/,
  },
  {
    title: "two files of one name",
    make: () => zip(file("a"), file("a")),
    outcome: "invalid-archive",
    message: /two files named a/,
  },
  {
    title: "a second SKILL.md",
    make: () => zip({ ...skillMd, content: `${SKILL_MD}other` }),
    outcome: "invalid-archive",
    message: /two files named SKILL\.md/,
  },
  {
    title: "names that differ in case",
    make: () => zip(file("scripts/Run.sh"), file("scripts/run.sh")),
    outcome: "invalid-archive",
    message: /one name on some systems/,
  },
  {
    title: "folders that differ in case",
    make: () => zip(file("Scripts/a.sh"), file("scripts/b.sh")),
    outcome: "invalid-archive",
    message: /one name on some systems/,
  },
  {
    title: "names that differ in how an accent is written",
    make: () => zip(file("caf\u00e9"), file("cafe\u0301")),
    outcome: "invalid-archive",
    message: /one name on some systems/,
  },
  {
    title: "a name that is a file and a folder",
    make: () => zip(file("a"), file("a/b")),
    outcome: "invalid-archive",
    message: /as a file and as a folder/,
  },
  {
    title: "encryption",
    make: () => zip(file("a", { lies: { flags: 1 } })),
    outcome: "invalid-archive",
    message: /encrypted|not a sound/,
  },
  {
    title: "a compression that few know",
    make: () => zip(file("a", { lies: { method: 12 } })),
    outcome: "invalid-archive",
    message: /not deflate/,
  },
  {
    title: "a file that is longer than it says",
    make: () => zip(file("a", { content: "x".repeat(5000), lies: { size: 10 } })),
    outcome: "invalid-archive",
    message: /not a sound/,
  },
  {
    title: "a bomb that says it is small",
    make: () => zip(file("a", { content: new Uint8Array(64 * MIB), lies: { size: 100 } })),
    outcome: "invalid-archive",
    message: /not a sound/,
  },
  {
    title: "a file that is shorter than it says",
    make: () => zip(file("a", { content: "x".repeat(10), lies: { size: 5000 } })),
    outcome: "invalid-archive",
    message: /not a sound/,
  },
  {
    title: "a file that is not what its checksum says",
    make: () => zip(file("a", { lies: { checksum: 1 } })),
    outcome: "invalid-archive",
    message: /a is not what its checksum says/,
  },
  {
    title: "files that share their bytes",
    make: () => {
      const content = noise(2_000);
      return zip(
        file("a", { content }),
        ...Array.from({ length: 50 }, (_, at) => file(`b${at}`, { content, lies: { bytesOf: "a" } })),
      );
    },
    outcome: "invalid-archive",
    message: /share their bytes/,
  },
  {
    title: "a bomb",
    make: () => zip(file("zeros", { content: new Uint8Array(5 * MIB) })),
    outcome: "archive-too-large",
    message: /more than 100 times its size/,
  },
  {
    title: "a bomb in many files",
    make: () => zip(...Array.from({ length: 500 }, (_, at) => file(`z${at}`, { content: new Uint8Array(20_000) }))),
    outcome: "archive-too-large",
    message: /more than 100 times its size/,
  },
  {
    title: "a bomb that says how large it is",
    make: () => zip(file("zeros", { content: new Uint8Array(1000), lies: { size: 600 * MIB } })),
    outcome: "archive-too-large",
    message: /more than 524288000 bytes/,
  },
  {
    title: "too many files",
    make: () => zip(...Array.from({ length: 10_000 }, (_, at) => file(`f${at}`, { content: "", stored: true }))),
    outcome: "archive-too-large",
    message: /more than 10000 files/,
  },
  {
    title: "a SKILL.md of more than 1 MiB",
    make: () => alone(Buffer.concat([Buffer.from(SKILL_MD), noise(MIB).map((byte) => 97 + (byte % 26))])),
    outcome: "archive-too-large",
    message: /SKILL\.md of \d+ bytes, the limit is 1048576/,
  },
  {
    title: "more than 100 MiB",
    make: () => new Uint8Array(100 * MIB + 1),
    outcome: "archive-too-large",
    message: /has 104857601 bytes/,
  },
  // Odd, and harmless.
  {
    title: "zips in zips, which nobody opens",
    make: () => zip(file("n.zip", { content: nested(3), stored: true })),
    outcome: "sound",
  },
  { title: "a folder of its own", make: () => zip({ name: "empty/", mode: 0o040755 }), outcome: "sound" },
  {
    title: "a program with a setuid bit, which is dropped",
    make: () => zip(file("run", { mode: 0o104755 })),
    outcome: "sound",
  },
  {
    title: "hidden and odd names",
    make: () => zip(file(".hidden"), file("a b ä 😀.txt"), file("...")),
    outcome: "sound",
  },
  {
    title: "bytes that are stored",
    make: () => zip(file("noise", { content: noise(10_000), stored: true })),
    outcome: "sound",
  },
];
