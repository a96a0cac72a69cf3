import { chmod, mkdir, mkdtemp, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { buildZip, hostileArchives } from "@stigmer/skills/hostile-archives";
import { openSkillArchive } from "@stigmer/skills";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type LocalServer, startLocalServer } from "../../__fixtures__/local-server.ts";

let server: LocalServer;
beforeAll(async () => {
  server = await startLocalServer();
});
afterAll(() => server[Symbol.asyncDispose]());

const skillMd = "---\nname: tool\ndescription: For tests.\n---\nText\n";

async function folder(files: Record<string, string | Uint8Array>): Promise<string> {
  const path = await mkdtemp(join(server.home, "skill-"));
  for (const [name, content] of Object.entries(files)) {
    await mkdir(dirname(join(path, name)), { recursive: true });
    await writeFile(join(path, name), content);
  }
  return path;
}

interface Pushed {
  readonly id: string;
  readonly version: string;
  readonly leftOut: readonly string[];
}

const push = (cwd: string, ...args: string[]): Promise<{ code: number; out: string; err: string }> =>
  server.start(["skill", "push", ...args], { cwd }).done;

async function pushJson(cwd: string, ...args: string[]): Promise<Pushed> {
  const { code, out, err } = await push(cwd, ...args, "--json");
  expect({ code, err: err.replace(/^Left out: .*\n/, "") }).toEqual({ code: 0, err: "" });
  return JSON.parse(out) as Pushed;
}

test("a folder becomes a version, without what is nobody's business", async () => {
  const cwd = await folder({
    "SKILL.md": skillMd,
    "scripts/run.sh": "#!/bin/sh\n",
    "notes/ä.md": "notes",
    ".git/config": "x",
    ".DS_Store": "x",
    ".env": "KEY=1",
    ".env.local": "KEY=1",
    "scripts/node_modules/a/index.js": "x",
    "scripts/run.pyc": "x",
  });
  await chmod(join(cwd, "scripts/run.sh"), 0o755);
  const { code, out, err } = await push(cwd, ".", "--tag", "stable");
  expect(code, err).toBe(0);
  expect(err).toBe("Left out: .DS_Store, .env, .env.local, .git, scripts/node_modules, scripts/run.pyc\n");
  expect(out).toMatch(/^Skill tool pushed \(skl-\w+, 3 files, \d+ B\)\nVersion [0-9a-f]{64}, tagged stable\n$/);

  const got = await server.start(["get", "skill", "tool", "-o", "json"], { cwd }).done;
  const { status } = JSON.parse(got.out) as { status: { versionHash: string; artifactStorageKey: string } };
  expect(out).toContain(status.versionHash);
  const archive = await openSkillArchive(await server.client.skills.getArtifact(status.artifactStorageKey));
  expect(archive.files.map(({ path, isExecutable }) => [path, isExecutable])).toEqual([
    ["SKILL.md", false],
    ["notes/ä.md", false],
    ["scripts/run.sh", true],
  ]);
  // The same files are the same version, wherever they lie.
  const again = await folder({ "scripts/run.sh": "#!/bin/sh\n", "notes/ä.md": "notes", "SKILL.md": skillMd });
  await chmod(join(again, "scripts/run.sh"), 0o700);
  expect((await pushJson(again, ".")).version).toBe(status.versionHash);
});

test("a Markdown file, a folder with it, a zip and a manifest make the same skill", async () => {
  const cwd = await folder({ "tool.md": skillMd, "folder/SKILL.md": skillMd });
  const { id, version } = await pushJson(cwd, "tool.md");
  expect(await pushJson(cwd, "folder")).toMatchObject({ id, version, leftOut: [] });
  const indented = skillMd.trimEnd().replaceAll("\n", "\n    ");
  const manifest = `apiVersion: agentic.stigmer.ai/v1\nkind: Skill\nmetadata: { name: tool }\nspec:\n  skillMd: |\n    ${indented}\n`;
  await writeFile(join(cwd, "skill.yaml"), manifest);
  expect((await server.start(["apply", "-f", "skill.yaml"], { cwd }).done).err).toBe("");
  const { metadata, status } = await server.client.skills.getByReference("tool");
  expect([metadata?.id, status?.versionHash]).toEqual([id, version]);
  await writeFile(join(cwd, "tool.zip"), buildZip([{ name: "SKILL.md", content: `${skillMd}more` }]));
  expect(await pushJson(cwd, "tool.zip")).toMatchObject({ id });
});

test("what shrinks a lot is pushed all the same", async () => {
  const cwd = await folder({ "SKILL.md": skillMd, zeros: new Uint8Array(2_000_000) });
  expect((await pushJson(cwd, ".")).version).toHaveLength(64);
});

test.each([
  [
    "a folder without SKILL.md",
    { "README.md": "x" },
    ".",
    /^\. has no SKILL\.md: a skill's folder begins with one\.\n$/,
  ],
  ["a path that is not there", {}, "missing", /^missing is not there: name a skill's folder, its SKILL\.md, or a zip/],
  [
    "a SKILL.md with mistakes",
    { "SKILL.md": "---\nname: Not Good\n---\n" },
    "SKILL.md",
    /^SKILL\.md can't be pushed: it has a SKILL\.md that is not sound: name \(line 2\): .*; description: is missing\.\n$/,
  ],
  ["a file that is no text", { "a.md": Uint8Array.of(0xff, 0xfe) }, "a.md", /not UTF-8/],
])("%s is told, and nothing is sent", async (_, files, path, message) => {
  const { code, out, err } = await push(await folder(files), path);
  expect({ code, out }).toEqual({ code: 1, out: "" });
  expect(err).toMatch(message);
});

test("a link is told", async () => {
  const cwd = await folder({ "SKILL.md": skillMd });
  await symlink("/etc/passwd", join(cwd, "link"));
  expect(await push(cwd, ".")).toEqual({
    code: 1,
    out: "",
    err: "link is a symbolic link: put the file itself there. Nothing was pushed.\n",
  });
});

test("a hostile zip is told before it is sent", async () => {
  const cwd = await folder({});
  const hostile = hostileArchives.find(({ title }) => title === "a bomb");
  await writeFile(join(cwd, "bomb.zip"), hostile?.make() ?? "");
  expect((await push(cwd, "bomb.zip")).err).toBe(
    "bomb.zip can't be pushed: it unpacks to more than 100 times its size.\n",
  );
});
