import { chmod, lstat, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { buildZip } from "@stigmer/skills/hostile-archives";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type LocalServer, startLocalServer } from "../../__fixtures__/local-server.ts";

let server: LocalServer;
beforeAll(async () => {
  server = await startLocalServer();
});
afterAll(() => server[Symbol.asyncDispose]());

const skillMd = (name: string, more = "", text = "Text."): string =>
  `---\nname: ${name}\ndescription: For tests of the command line.\n${more}---\n${text}\n`;

async function folder(files: Record<string, string>): Promise<string> {
  const path = await mkdtemp(join(server.home, "skills-"));
  for (const [name, content] of Object.entries(files)) {
    await mkdir(dirname(join(path, name)), { recursive: true });
    await writeFile(join(path, name), content);
  }
  return path;
}

const skill = (cwd: string, ...args: string[]): Promise<{ code: number; out: string; err: string }> =>
  server.start(["skill", ...args], { cwd }).done;

async function push(cwd: string, ...args: string[]): Promise<string> {
  const { code, out, err } = await skill(cwd, "push", ...args, "--json");
  expect(code, err).toBe(0);
  return (JSON.parse(out) as { version: string }).version;
}

async function filesOf(path: string): Promise<string[]> {
  const entries = await readdir(path, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(path.length + 1))
    .toSorted();
}

test("a skill is listed, shown and pulled, in any version", async () => {
  const cwd = await folder({
    "tool/SKILL.md": skillMd("tool", "license: MIT\nmetadata:\n  author: me\n"),
    "tool/scripts/run.sh": "#!/bin/sh\n",
  });
  await chmod(join(cwd, "tool/scripts/run.sh"), 0o755);
  const first = await push(cwd, "tool", "--tag", "stable");
  await writeFile(join(cwd, "tool/notes.md"), "more");
  const second = await push(cwd, "tool");

  const list = await skill(cwd, "list");
  expect(list.out).toMatch(new RegExp(`^NAME +ID +TAG +VERSION +AGE\ntool +skl-\\w+ +${second.slice(0, 12)} +\\ds\n$`));
  const shown = await skill(cwd, "show", "tool@stable");
  expect(shown.out).toMatch(new RegExp(`^Name +tool\n(.*\n)*Version +${first}, tagged stable\n`));
  expect(shown.out).toMatch(/License +MIT\n/);
  expect(shown.out).toMatch(/\nFILE +SIZE +EXECUTABLE\nSKILL.md +\d+ B\nscripts\/run.sh +10 B +yes\n$/);
  const json = JSON.parse((await skill(cwd, "show", "tool", "-o", "json")).out) as object;
  expect(json).toMatchObject({ name: "tool", version: second, newest: true, tag: "", metadata: { author: "me" } });

  const pulled = await skill(cwd, "pull", `tool@sha256:${first}`, "copy");
  expect(pulled.out).toMatch(new RegExp(`^Skill tool pulled to copy \\(2 files, \\d+ B\\)\nVersion ${first}\n$`));
  expect(await filesOf(join(cwd, "copy"))).toEqual(["SKILL.md", "scripts/run.sh"]);
  expect((await lstat(join(cwd, "copy/scripts/run.sh"))).mode & 0o111).not.toBe(0);
  // What was pulled is the version it was pulled as.
  expect(await push(cwd, "copy")).toBe(first);
});

test("a pull replaces a skill's folder only when it is told to, and nothing else ever", async () => {
  const cwd = await folder({
    "skill/SKILL.md": skillMd("careful"),
    "skill/data": "now a file",
    "skill/new/deep.txt": "x",
    "there/SKILL.md": "old",
    "there/data/old.txt": "old",
    "there/.git/config": "mine",
    "there/.env": "mine",
    "other/README.md": "no skill",
  });
  await push(cwd, "skill");
  expect(await skill(cwd, "pull", "careful", "there")).toMatchObject({
    code: 1,
    err: "there is not empty: name another folder, or replace it with --force\n",
  });
  expect((await skill(cwd, "pull", "careful", "other", "--force")).err).toMatch(/^other has files and no SKILL\.md/);
  expect((await skill(cwd, "pull", "careful", "other/README.md")).err).toMatch(/^other\/README\.md is a file/);
  expect((await skill(cwd, "pull", "careful", "there", "--force")).err).toBe("");
  expect(await filesOf(join(cwd, "there"))).toEqual([".env", ".git/config", "SKILL.md", "data", "new/deep.txt"]);
  expect((await skill(cwd, "pull", "careful")).out).toMatch(/^Skill careful pulled to careful /);

  // Through a link nothing is written.
  await mkdir(join(cwd, "outside"));
  await rm(join(cwd, "there/new"), { recursive: true });
  await symlink(join(cwd, "outside"), join(cwd, "there/new"));
  const linked = await skill(cwd, "pull", "careful", "there", "--force");
  expect(linked).toMatchObject({ code: 1, err: "new is a symbolic link: put the file itself there.\n" });
  expect(await readdir(join(cwd, "outside"))).toEqual([]);
  // Nothing of any attempt is left beside the folders.
  expect((await readdir(cwd)).filter((name) => name.startsWith("."))).toEqual([]);
});

test("an archive that is not the version that was asked for is not unpacked", async () => {
  const cwd = await folder({ "SKILL.md": skillMd("forged") });
  const version = await push(cwd, ".");
  const evil = buildZip([
    { name: "SKILL.md", content: skillMd("forged") },
    { name: "../evil", content: "x" },
  ]);
  // The server's disk has been tampered with.
  const artifacts = join(server.home, "data/artifacts");
  const [stored = ""] = (await filesOf(artifacts)).filter((file) => file.includes(version));
  await writeFile(join(artifacts, stored), evil);
  const run = await skill(cwd, "pull", "forged");
  expect(run.code).toBe(1);
  expect(run.err).toContain(`The archive that the server sent is not the version ${version}: its SHA-256 is`);
  expect(await readdir(cwd)).toEqual(["SKILL.md"]);
});

test.each([
  [["show", "nothing"], 'There is no skill "nothing": list them with `stigmer skill list`'],
  [["pull", "nothing@v1"], 'There is no skill "nothing" in version v1: list them with `stigmer skill list`'],
])("%j names what is not there", async (args, message) => {
  expect(await skill(server.home, ...args)).toEqual({ code: 1, out: "", err: `${message}\n` });
});

test("what names no skill is wrong usage", async () => {
  expect(await skill(server.home, "show", "tool@")).toMatchObject({
    code: 2,
    err: expect.stringMatching(/^"tool@" names no skill/) as string,
  });
});

test("lint finds what is wrong without a server, in one folder or in many", async () => {
  const cwd = await folder({
    "good/SKILL.md": skillMd("good"),
    "bad/SKILL.md": skillMd("other", "", "[x](gone.md)"),
    "warned/SKILL.md": skillMd("warned", "", "Run scripts/none.sh."),
    "no-skill/README.md": "x",
  });
  const lint = (...args: string[]): Promise<{ code: number; out: string; err: string }> =>
    server.start(["skill", "lint", ...args], { cwd, env: { STIGMER_BACKEND_ENDPOINT: "127.0.0.1:1" } }).done;
  expect(await lint("good")).toEqual({ code: 0, out: "", err: "1 skill: 0 errors, 0 warnings\n" });
  const all = await lint();
  expect(all.code).toBe(1);
  expect(all.err).toBe("3 skills: 2 errors, 1 warning\n");
  expect(all.out.split("\n")).toEqual([
    "bad/SKILL.md:2: error: the skill is called other, its folder bad: give both the same name (folder-name)",
    "bad/SKILL.md:5: error: the link to gone.md leads nowhere: add the file, or take the reference out (broken-link)",
    "warned/SKILL.md:5: warning: scripts/none.sh is named, and is not there: add the file, or take the reference out (missing-file)",
    "",
  ]);
  expect((await lint("warned")).code).toBe(0);
  expect((await lint("warned", "--strict")).code).toBe(1);
  const json = JSON.parse((await lint("bad", "--json")).out) as object;
  expect(json).toMatchObject({
    errors: 2,
    warnings: 0,
    skills: [{ folder: "bad", findings: [{ line: 2 }, { line: 5 }] }],
  });
  expect(await lint("no-skill")).toMatchObject({
    code: 1,
    err: expect.stringMatching(/^no-skill has no SKILL\.md, nor has a folder in it/) as string,
  });
  // What a push would refuse is an error here too.
  await symlink("/etc/passwd", join(cwd, "good/link"));
  expect((await lint("good")).out).toBe("good: error: link is a symbolic link: put the file itself there (archive)\n");
});

const agent = (name: string, refs: string): string =>
  `apiVersion: agentic.stigmer.ai/v1\nkind: Agent\nmetadata: { name: ${name} }\nspec:\n  instructions: You answer questions.\n  skillRefs: [${refs}]\n`;

test("a lock has digests and what skills require, and tells each change", async () => {
  const cwd = await folder({
    "units/SKILL.md": skillMd("units"),
    "measure/SKILL.md": skillMd("measure", "metadata:\n  stigmer.ai/requires: units@v1 inline\n"),
    "manifests/agent.yaml": `${agent("surveyor", "{ kind: skill, slug: measure, version: v1 }, { kind: skill, slug: inline }")}---
apiVersion: agentic.stigmer.ai/v1
kind: Skill
metadata: { name: inline }
spec:
  skillMd: |
    ${skillMd("inline").trimEnd().replaceAll("\n", "\n    ")}
`,
  });
  const units = await push(cwd, "units", "--tag", "v1");
  const measure = await push(cwd, "measure", "--tag", "v1");
  const lock = (...args: string[]): ReturnType<typeof skill> => skill(cwd, "lock", "-f", "manifests", ...args);

  expect(await lock("--frozen")).toMatchObject({
    code: 1,
    err: expect.stringMatching(/^manifests\/stigmer\.lock is not there: make it/) as string,
  });
  expect(await lock()).toEqual({
    code: 0,
    out: "manifests/stigmer.lock written (3 skills)\n",
    err: "agent surveyor: measure@v1 requires units@v1, which agent surveyor does not have: add it to its skillRefs\n",
  });
  const text = await readFile(join(cwd, "manifests/stigmer.lock"), "utf8");
  // A skill among the manifests is locked as what it will be once it is applied.
  expect((await server.start(["apply", "-f", "manifests"], { cwd }).done).err).not.toContain("error");
  const inline = (await server.client.skills.getByReference({ slug: "inline" })).status?.versionHash;
  expect(text).toContain(
    `skills:
  inline@latest:
    digest: sha256:${inline}
    usedBy:
      - agent surveyor
  measure@v1:
    digest: sha256:${measure}
    requires:
      - inline@latest
      - units@v1
    usedBy:
      - agent surveyor
  units@v1:
    digest: sha256:${units}
`,
  );
  expect((await lock()).out).toBe("manifests/stigmer.lock is up to date (3 skills)\n");
  expect((await lock("--frozen")).code).toBe(0);

  // The tag moves, a requirement goes, another agent comes.
  await writeFile(join(cwd, "measure/SKILL.md"), skillMd("measure", "metadata:\n  stigmer.ai/requires: inline\n"));
  const moved = await push(cwd, "measure", "--tag", "v1");
  await writeFile(join(cwd, "manifests/second.yaml"), agent("second", "{ kind: skill, slug: inline }"));
  const drift = await lock("--frozen");
  expect(drift.code).toBe(1);
  expect(drift.err.split("\n")).toEqual([
    "manifests/stigmer.lock is not what the skills are now:",
    "~ inline@latest: used by agent surveyor, now agent second, agent surveyor",
    `~ measure@v1: sha256:${measure} is now sha256:${moved}`,
    "~ measure@v1: required inline@latest, units@v1, now inline@latest",
    "- units@v1: nobody asks for it any more",
    "If that is meant, run `stigmer skill lock` and commit it.",
    "",
  ]);
  expect(await readFile(join(cwd, "manifests/stigmer.lock"), "utf8")).toBe(text);
  await writeFile(join(cwd, "manifests/stigmer.lock"), "lockfileVersion: 9\nskills: {}\n");
  expect((await lock("--frozen")).err).toMatch(/^manifests\/stigmer\.lock is no lock file of version 1/);
});

test("a lock names every skill that is not there, and through whom it is asked for", async () => {
  const cwd = await folder({
    "needy/SKILL.md": skillMd("needy", "metadata:\n  stigmer.ai/requires: absent\n"),
    "agent.yaml": agent("lonely", "{ kind: skill, slug: needy }, { kind: skill, slug: missing, version: v2 }"),
  });
  await push(cwd, "needy");
  expect(await skill(cwd, "lock")).toEqual({
    code: 1,
    out: "",
    err: [
      "agent.yaml:6:15: spec.skillRefs[0]: there is no skill absent@latest, which needy@latest requires: push it, or ask for another",
      "agent.yaml:6:45: spec.skillRefs[1]: there is no skill missing@v2: push it, or ask for another",
      "",
    ].join("\n"),
  });
  expect(await filesOf(cwd)).toEqual(["agent.yaml", "needy/SKILL.md"]);
});
