import fc from "fast-check";
import { expect, test } from "vitest";
import { SkillError, type SkillProblem } from "./errors.ts";
import { parseSkill } from "./parse-skill.ts";

const skill = (frontmatter: string, body = "Do it."): string => `---\n${frontmatter}\n---\n\n${body}\n`;

/** Throws what is no `SkillError`. */
function problemsOrNone(markdown: string): readonly SkillProblem[] {
  try {
    parseSkill(markdown);
    return [];
  } catch (error) {
    if (SkillError.is(error) && error.code === "invalid-skill") return error.problems;
    throw error;
  }
}

function problemsOf(markdown: string): readonly SkillProblem[] {
  const problems = problemsOrNone(markdown);
  if (problems.length === 0) throw new Error("The skill was taken.");
  return problems;
}

test("reads every field of the specification and the body", () => {
  const markdown = skill(
    [
      "name: pdf-forms",
      "description: Fill in PDF forms. Use it for any form.",
      "license: Apache-2.0",
      "compatibility: Needs python3",
      "metadata:",
      "  author: acme",
      "  version: 1.5",
      "allowed-tools: Bash(git:*) Read",
      "something-else: [1, 2]",
    ].join("\n"),
    "# PDF forms\n\n---\n\nFirst, look.",
  );
  expect(parseSkill(markdown)).toEqual({
    frontmatter: {
      name: "pdf-forms",
      description: "Fill in PDF forms. Use it for any form.",
      license: "Apache-2.0",
      compatibility: "Needs python3",
      metadata: { author: "acme", version: "1.5" },
      allowedTools: ["Bash(git:*)", "Read"],
    },
    body: "# PDF forms\n\n---\n\nFirst, look.",
  });
});

test("takes Windows line ends, a byte order mark and an empty body", () => {
  const parsed = parseSkill("\uFEFF---\r\nname: a\r\ndescription: b\r\n---\r\n");
  expect(parsed).toEqual({ frontmatter: { name: "a", description: "b" }, body: "" });
});

test("tells all problems at once, with field and line", () => {
  const problems = problemsOf(
    skill(`name: Bad--Name\ndescription: ""\ncompatibility: ${"x".repeat(501)}\nmetadata: none`),
  );
  expect(problems.map(({ field, line }) => [field, line])).toEqual([
    ["name", 2],
    ["description", 3],
    ["compatibility", 4],
    ["metadata", 5],
  ]);
});

test("tells what is missing", () => {
  expect(problemsOf(skill("license: MIT"))).toEqual([
    { field: "name", message: "is missing" },
    { field: "description", message: "is missing" },
  ]);
  expect(problemsOf("# No frontmatter")[0]).toMatchObject({ field: "frontmatter", line: 1 });
  expect(problemsOf("---\nname: a\n")[0]?.message).toContain("second line `---`");
  expect(problemsOf(skill("- a\n- b"))[0]?.message).toContain("must be a map");
});

test("the error's message lists the problems", () => {
  expect(() => parseSkill(skill("name: -a"))).toThrow(/name \(line 2\): may hold only[^]*description: is missing/);
});

test("tells the line of a YAML error in the file", () => {
  expect(problemsOf(skill('name: a\ndescription: "unclosed'))[0]).toMatchObject({ field: "frontmatter" });
  expect(problemsOf(skill("name: a\nname: b\ndescription: c"))[0]).toMatchObject({ line: 3 });
});

test.each([
  ["a", true],
  ["a1-b2", true],
  ["a".repeat(64), true],
  ["a".repeat(65), false],
  ["-a", false],
  ["a-", false],
  ["a--b", false],
  ["A", false],
  ["ä", false],
  ["a_b", false],
  ["../a", false],
  ["a/b", false],
])("the name %j is good: %s", (name, good) => {
  const problems = problemsOrNone(skill(`name: ${JSON.stringify(name)}\ndescription: d`));
  expect(problems.map(({ field, line }) => ({ field, line }))).toEqual(good ? [] : [{ field: "name", line: 2 }]);
});

test("counts a description in characters", () => {
  expect(parseSkill(skill(`name: a\ndescription: ${"😀".repeat(1024)}`)).frontmatter.description).toHaveLength(2048);
  expect(problemsOf(skill(`name: a\ndescription: ${"x".repeat(1025)}`))[0]?.message).toContain("1024");
});

test("refuses YAML that grows or nests without end", () => {
  const laughs = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"];
  for (let level = 1; level <= 9; level++) {
    laughs.push(
      `a${level}: &a${level} [${Array(10)
        .fill(`*a${level - 1}`)
        .join(", ")}]`,
    );
  }
  expect(problemsOf(skill(`name: a\ndescription: b\n${laughs.join("\n")}`))[0]?.message).toContain("aliases");
  for (const opener of ["[", "{a: ", "- "]) {
    expect(problemsOf(skill(`x: ${opener === "- " ? "\n" : ""}${opener.repeat(12_000)}`))[0]?.field).toBe(
      "frontmatter",
    );
  }
  expect(problemsOf(skill(`x: "${"y".repeat(70_000)}"`))[0]?.message).toContain("longer than");
});

test("refuses more than 1 MB", () => {
  expect(problemsOf(skill("name: a\ndescription: b", "x".repeat(1024 * 1024)))).toMatchObject([{ field: "file" }]);
});

test("never fails in another way, whatever it is given", () => {
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string(),
        fc.string().map((text) => skill(text)),
      ),
      (text) => {
        problemsOrNone(text);
      },
    ),
  );
});
