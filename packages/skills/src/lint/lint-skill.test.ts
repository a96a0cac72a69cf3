import { expect, test } from "vitest";
import { lintSkill } from "./lint-skill.ts";

const head = "---\nname: tool\ndescription: Counts words. Use it when asked how long a text is.\n";
const sound = `${head}---\nRun \`scripts/run.sh\`, see [the guide](references/guide.md#top), [more](https://example.com/x.md) and [here](#x).\n`;

interface File {
  readonly content: string;
  readonly isExecutable?: boolean;
}

function lint(files: Record<string, string | File>, folder: string | undefined = "tool"): string[] {
  const list = Object.entries(files).map(([path, file]) => {
    const { content, isExecutable = false } = typeof file === "string" ? { content: file } : file;
    return { path, content: new TextEncoder().encode(content), isExecutable };
  });
  return lintSkill({ folder, files: list }).map(
    ({ severity, rule, file, line, message }) => `${file}:${line ?? "-"} ${severity} ${rule} ${message}`,
  );
}

const rest = {
  "scripts/run.sh": { content: "#!/bin/sh\n", isExecutable: true },
  "references/guide.md": "[back](../SKILL.md) [self](guide.md)",
};

test("a sound skill has nothing to be said of", () => {
  expect(lint({ "SKILL.md": sound, ...rest })).toEqual([]);
  expect(lint({ "SKILL.md": `${head}---\nText.\n` })).toEqual([]);
});

test.each<[string, Record<string, string | File>, (string | RegExp)[]]>([
  ["no SKILL.md", { "README.md": "x" }, [/^SKILL\.md:- error frontmatter there is no SKILL\.md/]],
  ["no frontmatter", { "SKILL.md": "x" }, [/^SKILL\.md:1 error frontmatter frontmatter: is missing/]],
  [
    "every mistake of the frontmatter at once",
    { "SKILL.md": "---\nname: Not--Good\ndescription: ' '\ncompatibility: ''\n---\nx" },
    [
      /^SKILL\.md:2 error frontmatter name: may hold only lower-case/,
      /:3 error frontmatter description: must not be/,
      /:4 error frontmatter compatibility: must not be empty/,
    ],
  ],
  [
    "a name too long",
    { "SKILL.md": `---\nname: ${"a".repeat(65)}\ndescription: ${"d".repeat(1025)}\n---\nx` },
    [/error frontmatter name: must have at most 64/, /error frontmatter description: must have at most 1024/],
  ],
  [
    "a folder of another name",
    { "SKILL.md": `${head.replace("tool", "other")}---\nx` },
    ["SKILL.md:2 error folder-name the skill is called other, its folder tool: give both the same name"],
  ],
  [
    "a field that is none, and a number in metadata",
    { "SKILL.md": `${head}version: 2\nmetadata:\n  version: 1.0\n  author: me\n---\nx` },
    [/^SKILL\.md:4 warning unknown-field version: /, /^SKILL\.md:6 warning metadata-text metadata\.version: is 1,/],
  ],
  [
    "requirements that can't be read",
    { "SKILL.md": `${head}metadata:\n  stigmer.ai/requires: good Bad@1\n---\nx` },
    [/^SKILL\.md:4 error requires metadata\.stigmer\.ai\/requires: "Bad@1" is not the name of a skill/],
  ],
  [
    "a short description and no text",
    { "SKILL.md": "---\nname: tool\ndescription: Helps.\n---\n" },
    [/^SKILL\.md:3 warning short-description/, /warning empty-body/],
  ],
  [
    "a long text",
    { "SKILL.md": `${head}---\n${"x\n".repeat(501)}` },
    [/^SKILL\.md:5 warning long-body the text has 501/],
  ],
  ["a wide text", { "SKILL.md": `${head}---\n${"x ".repeat(10_002)}` }, [/long-body the text has about 5,001 tokens/]],
  [
    "links that lead nowhere, out, and to another case",
    {
      "SKILL.md": `${head}---\n[a](no.md)\n\n![b](../up.png) [c](/etc/passwd)\n\n[d]\n\n[d]: GUIDE.md\n`,
      "guide.md": "",
    },
    [
      "SKILL.md:5 error broken-link the link to no.md leads nowhere: add the file, or take the reference out",
      /^SKILL\.md:7 error broken-link the link to \.\.\/up\.png leads out/,
      /^SKILL\.md:7 error broken-link the link to \/etc\/passwd leads out/,
      "SKILL.md:11 error broken-link the link to GUIDE.md leads nowhere: did you mean guide.md?",
    ],
  ],
  [
    "a file that is named and missing, also in code",
    {
      "SKILL.md": `${head}---\nUse scripts/<name>.sh.\n\n\`\`\`sh\npython scripts/count.py x\n\`\`\`\n`,
      "count.py": "",
    },
    ["SKILL.md:8 warning missing-file scripts/count.py is named, and is not there: did you mean count.py?"],
  ],
  ["no link in code", { "SKILL.md": `${head}---\n\`[a](no.md)\`\n\n    [b](no.md)\n` }, []],
  [
    "a file that another file alone leads to",
    { "SKILL.md": `${head}---\n[a](a.md)\n`, "a.md": "[b](deep/b.md)", "deep/b.md": "[x](gone.md)" },
    [/^a\.md:1 warning deep-reference deep\/b\.md can be found through a\.md/, /^deep\/b\.md:1 error broken-link/],
  ],
  [
    "a script that can't be run, and a skill within",
    { "SKILL.md": `${head}---\nx`, "scripts/a.sh": "#!/bin/sh\n", "data/b.sh": "#!/bin/sh\n", "sub/SKILL.md": "x" },
    [/^scripts\/a\.sh:- warning not-executable/, /^sub\/SKILL\.md:- warning nested-skill/],
  ],
])("tells of %s", (_, files, expected) => {
  const found = lint(files);
  expect(found).toHaveLength(expected.length);
  for (const [at, each] of expected.entries()) expect(found[at]).toMatch(each);
});

test("a skill that comes without a folder may have any name", () => {
  const files = [{ path: "SKILL.md", content: new TextEncoder().encode(`${head}---\nx`), isExecutable: false }];
  expect(lintSkill({ files })).toEqual([]);
});
