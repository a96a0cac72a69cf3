import { mkdtemp, readFile, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createSandbox, type Sandbox } from "@stigmer/sandbox";
import { afterEach, beforeEach, expect, test } from "vitest";
import { createSkillWriter, type Skill } from "./skill-writer.ts";

let root: string;
let sandbox: Sandbox;

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "skills-"));
  sandbox = await createSandbox({ type: "filesystem", rootDir: root });
});

afterEach(async () => {
  await sandbox.dispose();
  await rm(root, { recursive: true });
});

const skill = (name: string, changes?: Partial<Skill>): Skill => ({
  id: `id-${name}`,
  name,
  description: "What it is for.",
  body: "First, look.\n",
  ...changes,
});

test("writes each skill in its layout, where a command finds it", async () => {
  const paths = await createSkillWriter({ sandbox }).write([skill("review"), skill("release", { body: "" })]);
  expect([...paths]).toEqual([
    ["id-review", `${sandbox.root}/skills/review.md`],
    ["id-release", `${sandbox.root}/skills/release.md`],
  ]);
  const expected = "# review\n\n**Description**: What it is for.\n\n---\n\nFirst, look.\n";
  expect(await readFile(join(root, "skills/review.md"), "utf8")).toBe(expected);
  expect((await sandbox.execute(`cat ${paths.get("id-review")}`)).stdout).toBe(expected);
});

test("writes a skill anew when it changed", async () => {
  const writer = createSkillWriter({ sandbox });
  await writer.write([skill("review")]);
  await writer.write([skill("review", { body: "Other." })]);
  expect(await readFile(join(root, "skills/review.md"), "utf8")).toMatch(/Other\.$/);
});

test("keeps out of the way in a user's own directory", async () => {
  const paths = await createSkillWriter({ sandbox, directory: ".stigmer/skills" }).write([skill("review")]);
  expect(paths.get("id-review")).toBe(`${sandbox.root}/.stigmer/skills/review.md`);
  expect(await readdir(root)).toEqual([".stigmer"]);
});

test("writes nothing when one skill is wrong, and tells all that is", async () => {
  const writer = createSkillWriter({ sandbox });
  const wrong = [skill("good"), skill("../evil"), skill("empty", { description: " " }), skill("good", { id: "id-2" })];
  await expect(writer.write(wrong)).rejects.toMatchObject({
    code: "invalid-skill",
    problems: [
      { field: '"../evil" name' },
      { field: '"empty" description' },
      { field: '"good" name', message: "is used by two skills, id-good and id-2: rename one" },
    ],
  });
  expect(await readdir(root)).toEqual([]);
});

test("tells two skills of one name, and of one id", async () => {
  const writer = createSkillWriter({ sandbox });
  await expect(writer.write([skill("a"), skill("a", { id: "b" })])).rejects.toMatchObject({ code: "duplicate-name" });
  await expect(writer.write([skill("a"), skill("b", { id: "id-a" })])).rejects.toThrow("id-a is used by two skills");
});

test("tells a missing sandbox and an unknown directory", () => {
  expect(() => createSkillWriter({ sandbox: undefined as never })).toThrow(/need a sandbox/);
  expect(() => createSkillWriter({ sandbox, directory: "elsewhere" as never })).toThrow(/Unknown skills directory/);
});

test("tells why it could not write, with the cause", async () => {
  await sandbox.files.write("skills", "a file where the directory should be");
  await expect(createSkillWriter({ sandbox }).write([skill("a")])).rejects.toMatchObject({
    code: "write-failed",
    cause: { code: "not-directory" },
  });
});

test("does not write through a link that leads out", async () => {
  const outside = await mkdtemp(join(tmpdir(), "skills-outside-"));
  await sandbox.execute(`ln -s ${outside} skills`);
  await expect(createSkillWriter({ sandbox }).write([skill("a")])).rejects.toMatchObject({
    cause: { code: "outside-root" },
  });
  expect(await readdir(outside)).toEqual([]);
  await rm(outside, { recursive: true });
});
