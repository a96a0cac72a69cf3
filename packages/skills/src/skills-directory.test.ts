import { createHash } from "node:crypto";
import { mkdir, mkdtemp, readdir, readFile, realpath, rm, stat, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { createSandbox, type Sandbox } from "@stigmer/sandbox";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { buildZip, hostileArchives, type ZipEntry } from "./hostile-archives/index.ts";
import { createSkillWriter, type Skill } from "./skill-writer.ts";

// Skills in a real directory: what is written, what is left alone, what goes.

let folder: string;
let root: string;
let sandbox: Sandbox;
/** What was done to the sandbox's files, in order. */
let done: string[];

beforeEach(async () => {
  folder = await realpath(await mkdtemp(join(tmpdir(), "skills-")));
  root = join(folder, "root");
  const inner = await createSandbox({ type: "filesystem", rootDir: root });
  done = [];
  sandbox = {
    ...inner,
    files: {
      ...inner.files,
      upload: (files) => (done.push(...files.map(({ path }) => `write ${path}`)), inner.files.upload(files)),
      remove: (path) => (done.push(`remove ${path}`), inner.files.remove(path)),
    },
  };
});

afterEach(async () => {
  await sandbox.dispose();
  await rm(folder, { recursive: true });
});

interface Fetched {
  readonly skill: Skill;
  /** How often the archive was asked for. */
  fetches: number;
}

function pushed(name: string, entries: readonly ZipEntry[] = [], body = "Text"): Fetched {
  const bytes = buildZip([
    { name: "SKILL.md", content: `---\nname: ${name}\ndescription: d\n---\n${body}\n` },
    ...entries,
  ]);
  const version = createHash("sha256").update(bytes).digest("hex");
  const fetched: Fetched = {
    fetches: 0,
    skill: {
      id: `id-${name}`,
      name,
      description: "d",
      body,
      version,
      archive: () => Promise.resolve((fetched.fetches++, bytes)),
    },
  };
  return fetched;
}

const script: ZipEntry = { name: "scripts/run.sh", content: "#!/bin/sh\necho ran in $(dirname $0)\n", mode: 0o100755 };
const data: ZipEntry = { name: "data.csv", content: "a,b\n", mode: 0o100600 };

const tree = async (path = root): Promise<string[]> =>
  (await readdir(path, { recursive: true, withFileTypes: true }))
    .filter((entry) => !entry.isDirectory())
    .map((entry) => join(entry.parentPath, entry.name).slice(path.length + 1))
    .toSorted();

const OURS = "skills/.stigmer-skills.json";

describe("an archive", () => {
  it("becomes a folder with its files, and its programs run", async () => {
    const { skill } = pushed("tool", [script, data]);
    const paths = await createSkillWriter({ sandbox }).write([skill]);
    expect([...paths]).toEqual([["id-tool", `${root}/skills/tool/SKILL.md`]]);
    expect(await tree()).toEqual([OURS, "skills/tool/SKILL.md", "skills/tool/data.csv", "skills/tool/scripts/run.sh"]);
    expect(await readFile(paths.get("id-tool") ?? "", "utf8")).toBe("---\nname: tool\ndescription: d\n---\nText\n");
    expect((await sandbox.execute("skills/tool/scripts/run.sh")).stdout).toBe("ran in skills/tool/scripts\n");
    expect((await stat(join(root, "skills/tool/data.csv"))).mode & 0o111).toBe(0);
  });

  it("of Markdown alone becomes one file", async () => {
    const paths = await createSkillWriter({ sandbox }).write([pushed("note").skill]);
    expect(paths.get("id-note")).toBe(`${root}/skills/note.md`);
    expect(await readFile(join(root, "skills/note.md"), "utf8")).toBe("# note\n\n**Description**: d\n\n---\n\nText");
  });

  it("that a server does not have leaves the Markdown", async () => {
    const { skill } = pushed("tool", [script]);
    await createSkillWriter({ sandbox }).write([{ ...skill, archive: () => Promise.resolve(undefined) }]);
    expect(await tree()).toEqual([OURS, "skills/tool.md"]);
  });

  it("of many files and bytes goes in batches", async () => {
    const many = Array.from({ length: 450 }, (_, at) => ({ name: `f/${at}.txt`, content: String(at) }));
    const large = [1, 2, 3].map((at) => ({
      name: `${at}.bin`,
      content: new Uint8Array(6 << 20).fill(at),
      stored: true,
    }));
    const batches: number[] = [];
    const { upload } = sandbox.files;
    const counting = {
      ...sandbox.files,
      upload: (files: Parameters<typeof upload>[0]) => (batches.push(files.length), upload(files)),
    };
    await createSkillWriter({ sandbox: { files: counting } }).write([pushed("many", [...many, ...large]).skill]);
    expect(await tree()).toHaveLength(455);
    // The record before and in the last one.
    expect(batches).toEqual([1, 200, 200, 52, 1, 2]);
  });

  it("that is not its version is refused", async () => {
    const { skill } = pushed("tool", [script]);
    const other = pushed("tool", [data]).skill;
    await expect(createSkillWriter({ sandbox }).write([{ ...skill, archive: other.archive }])).rejects.toMatchObject({
      code: "invalid-archive",
      message: expect.stringMatching(
        /^Skill "tool": The skill's archive is not the version [0-9a-f]{64}: its SHA-256 is/,
      ) as string,
    });
    expect(await tree()).toEqual([]);
  });

  it("of another skill is refused", async () => {
    const { skill } = pushed("tool", [script]);
    await expect(createSkillWriter({ sandbox }).write([{ ...skill, name: "else" }])).rejects.toThrow(
      /that of a skill "tool"/,
    );
  });

  const refused = hostileArchives.flatMap((each) => (each.outcome === "sound" ? [] : [[each.title, each] as const]));
  it.each(refused)("with %s is refused, and leaves nothing", async (_, { make, outcome, message }) => {
    await writeFile(join(folder, "outside.txt"), "mine");
    const bytes = make();
    const skill = { ...pushed("hostile").skill, version: undefined, archive: () => Promise.resolve(bytes) };
    await expect(createSkillWriter({ sandbox }).write([skill])).rejects.toMatchObject({
      code: outcome,
      message: expect.stringMatching(message ?? /./) as string,
    });
    expect((await tree()).filter((path) => path !== OURS)).toEqual([]);
    expect(await readdir(folder)).toEqual(["outside.txt", "root"]);
    // Nothing of it is in the way of a sound one.
    await createSkillWriter({ sandbox }).write([pushed("hostile", [script]).skill]);
    expect(await tree()).toContain("skills/hostile/scripts/run.sh");
  });

  const sound = hostileArchives.flatMap((each) => (each.outcome === "sound" ? [[each.title, each] as const] : []));
  it.each(sound)("with %s is unpacked", async (_, { make }) => {
    const bytes = make();
    const skill = { ...pushed("hostile").skill, version: undefined, archive: () => Promise.resolve(bytes) };
    await createSkillWriter({ sandbox }).write([skill]);
    const { stdout } = await sandbox.execute("find skills -perm /7000 -type f");
    expect(stdout).toBe("");
  });
});

describe("a later write", () => {
  it("of the same versions costs nothing", async () => {
    const skills = [pushed("tool", [script]), pushed("note")];
    const markdown: Skill = { id: "id-plain", name: "plain", description: "d", body: "Text" };
    const all = [...skills.map(({ skill }) => skill), markdown];
    const first = await createSkillWriter({ sandbox }).write(all);
    done = [];
    expect(await createSkillWriter({ sandbox }).write(all)).toEqual(first);
    expect(done).toEqual([]);
    expect(skills.map(({ fetches }) => fetches)).toEqual([1, 1]);
  });

  it("of another version replaces all of the old one", async () => {
    const writer = createSkillWriter({ sandbox });
    await writer.write([pushed("tool", [script, data]).skill]);
    await writer.write([pushed("tool", [{ name: "new.txt", content: "new" }]).skill]);
    expect(await tree()).toEqual([OURS, "skills/tool/SKILL.md", "skills/tool/new.txt"]);
    await writer.write([pushed("tool").skill]);
    expect(await tree()).toEqual([OURS, "skills/tool.md"]);
    await writer.write([pushed("tool", [script]).skill]);
    expect(await tree()).toEqual([OURS, "skills/tool/SKILL.md", "skills/tool/scripts/run.sh"]);
  });

  it("without a skill takes it away, and nothing else", async () => {
    const writer = createSkillWriter({ sandbox });
    await writer.write([pushed("tool", [script]).skill, pushed("note").skill]);
    await mkdir(join(root, "skills/mine"));
    await writeFile(join(root, "skills/mine/SKILL.md"), "mine");
    await writeFile(join(root, "skills/mine.md"), "mine");
    await writer.write([pushed("note").skill]);
    expect(await tree()).toEqual([OURS, "skills/mine.md", "skills/mine/SKILL.md", "skills/note.md"]);
    await writer.write([]);
    expect(await tree()).toEqual([OURS, "skills/mine.md", "skills/mine/SKILL.md"]);
  });

  it("brings back what was deleted", async () => {
    const writer = createSkillWriter({ sandbox });
    await writer.write([pushed("tool", [script]).skill]);
    await rm(join(root, "skills/tool"), { recursive: true });
    await writer.write([pushed("tool", [script]).skill]);
    expect(await tree()).toContain("skills/tool/scripts/run.sh");
  });

  it("begins anew where the one before was cut off", async () => {
    const { skill } = pushed("tool", [script, data]);
    let left = 1;
    const failing = {
      ...sandbox.files,
      upload: async (files: Parameters<Sandbox["files"]["upload"]>[0]) => {
        if (left-- > 0) return sandbox.files.upload(files);
        await sandbox.files.upload(files.slice(0, 2));
        throw new Error("cut off");
      },
      // The process is gone: nobody tidies up.
      remove: () => Promise.reject(new Error("gone")),
    };
    await expect(createSkillWriter({ sandbox: { files: failing } }).write([skill])).rejects.toThrow("cut off");
    expect(await tree()).toEqual([OURS, "skills/tool/SKILL.md", "skills/tool/scripts/run.sh"]);
    await writeFile(join(root, "skills/tool/leftover"), "half");
    await createSkillWriter({ sandbox }).write([skill]);
    expect(await tree()).toEqual([OURS, "skills/tool/SKILL.md", "skills/tool/data.csv", "skills/tool/scripts/run.sh"]);
  });

  it("for another user keeps what the first one has", async () => {
    const [first, second] = ["a", "b"].map((user) => createSkillWriter({ sandbox, user }));
    await first?.write([pushed("tool", [script]).skill, pushed("note").skill]);
    await second?.write([pushed("tool", [script]).skill]);
    await first?.write([]);
    expect(await tree()).toEqual([OURS, "skills/tool/SKILL.md", "skills/tool/scripts/run.sh"]);
    await second?.write([]);
    expect(await tree()).toEqual([OURS]);
  });
});

describe("what somebody else put there", () => {
  const mine = async (path: string): Promise<void> => {
    await mkdir(dirname(join(root, path)), { recursive: true });
    await writeFile(join(root, path), "mine");
  };

  it.each([
    ["a folder", "skills/tool/notes.txt", [script]],
    ["a file of the folder's name", "skills/tool", [script]],
    ["a file", "skills/tool.md", []],
  ])("is told when a skill needs its name: %s", async (_, path, entries) => {
    await mine(path);
    await expect(createSkillWriter({ sandbox }).write([pushed("tool", entries).skill])).rejects.toMatchObject({
      code: "name-taken",
      message: expect.stringMatching(
        /^Skill "tool": skills\/tool(\.md)? is there already, and was not put there for it/,
      ) as string,
    });
    expect(await tree()).toEqual([path]);
    expect(await readFile(join(root, path), "utf8")).toBe("mine");
  });

  it("is not written through", async () => {
    await mine("src/notes.txt");
    await mkdir(join(root, "skills"));
    await symlink("../src", join(root, "skills/tool"));
    await expect(createSkillWriter({ sandbox }).write([pushed("tool", [script]).skill])).rejects.toThrow(
      /is there already/,
    );
    expect(await readdir(join(root, "src"))).toEqual(["notes.txt"]);
  });

  it("is taken over when it is to the letter what would be written", async () => {
    await createSkillWriter({ sandbox }).write([pushed("note").skill]);
    await rm(join(root, OURS));
    await createSkillWriter({ sandbox }).write([pushed("note").skill]);
    expect(await tree()).toEqual([OURS, "skills/note.md"]);
  });

  it.each([
    ["no JSON", "{"],
    ["another shape", '{"skills":[1]}'],
    [
      "paths of others",
      '{"skills":{"../src":{"entry":"../src","version":"","users":[""]},"tool":{"entry":"../src","version":"","users":[""]}}}',
    ],
  ])("is safe from a record that is %s", async (_, record) => {
    await mine("src/notes.txt");
    await mine("skills/mine.md");
    await writeFile(join(root, OURS), record);
    await createSkillWriter({ sandbox }).write([pushed("tool", [script]).skill]);
    await createSkillWriter({ sandbox }).write([]);
    expect(await tree()).toEqual([OURS, "skills/mine.md", "src/notes.txt"]);
  });
});
