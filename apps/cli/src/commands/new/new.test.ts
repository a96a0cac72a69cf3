import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseSkill } from "@stigmer/skills";
import { afterEach, beforeEach, expect, test } from "vitest";
import { startCli } from "../../__fixtures__/local-server.ts";

let cwd: string;
beforeEach(async () => {
  cwd = await mkdtemp(join(tmpdir(), "stigmer-new-"));
});
afterEach(() => rm(cwd, { recursive: true }));

const run = (...args: string[]) => startCli(args, { cwd }).done;
const text = (path: string): Promise<string> => readFile(join(cwd, path), "utf8");

test.each([
  ["reviewer", "reviewer.yaml"],
  ["Code Reviewer: strict", "code-reviewer-strict.yaml"],
  ["true", "true.yaml"],
  ["12", "12.yaml"],
])("an agent that is called %s is valid as it is", async (name, path) => {
  const made = await run("new", "agent", name);
  expect(made).toMatchObject({ code: 0, out: `${path} is made\n` });
  expect(made.err).toContain(`stigmer apply -f ${path}`);
  expect(await text(path)).toMatch(
    /^# yaml-language-server: \$schema=https:\/\/unpkg\.com\/@stigmer\/protos\S*\/schemas\/agent\.json\n/,
  );
  const slug = path.replace(".yaml", "");
  expect(await run("validate", "-f", path)).toEqual({ code: 0, out: `${path}:2: Agent ${slug} is valid\n`, err: "" });
});

test("what an agent's file only mentions is right too", async () => {
  await run("new", "agent", "x");
  const mentioned = (await text("x.yaml")).replace(/^ {2}# ((?:[a-zA-Z]+:|  ).*)$/gm, "  $1");
  expect(mentioned).toContain("\n  limits: ");
  await writeFile(join(cwd, "all.yaml"), mentioned);
  expect(await run("validate", "-f", "all.yaml")).toMatchObject({ code: 0, err: "" });
});

test("a skill is a folder that can be pushed, or a manifest that can be applied", async () => {
  expect(await run("new", "skill", "commit-messages", "--dir", "skills/mine")).toMatchObject({
    code: 0,
    out: "skills/mine/commit-messages/SKILL.md is made\n",
    err: expect.stringContaining("stigmer skill push skills/mine/commit-messages\n") as string,
  });
  expect(parseSkill(await text("skills/mine/commit-messages/SKILL.md")).frontmatter.name).toBe("commit-messages");

  for (const name of ["commit-messages", "404"]) {
    await run("new", "skill", name, "--manifest");
    expect(await text(`${name}.yaml`)).toContain("/schemas/skill.json\n");
    expect(await run("validate", "-f", `${name}.yaml`)).toMatchObject({ code: 0, err: "" });
  }
});

test("nothing is replaced", async () => {
  for (const args of [
    ["agent", "x"],
    ["skill", "x"],
    ["skill", "y", "--manifest"],
  ]) {
    expect((await run("new", ...args)).code).toBe(0);
    const path = args.includes("--manifest") ? "y.yaml" : args[0] === "agent" ? "x.yaml" : "x/SKILL.md";
    await writeFile(join(cwd, path), "mine");
    expect(await run("new", ...args)).toEqual({
      code: 1,
      out: "",
      err: `${path} is there already: choose another name, or remove it\n`,
    });
    expect(await text(path)).toBe("mine");
  }
});

test.each([
  [["agent", "ü"], 'No file can be named after "ü": use letters and digits\n'],
  [["skill", "My Skill"], /^A skill can't be called "My Skill": it .*\n$/],
  [["skill", "../x"], /^A skill can't be called "\.\.\/x": it .*\n$/],
])("new %s is refused", async (args, err) => {
  const result = await run("new", ...args);
  expect(result).toMatchObject({ code: 2, out: "" });
  expect(result.err).toMatch(err);
});
