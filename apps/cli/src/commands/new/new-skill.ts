import { agenticApiVersion } from "@stigmer/protos";
import { parseSkill, SkillError } from "@stigmer/skills";
import { stringify } from "yaml";
import type { CommandIo } from "../../command-io.ts";
import { CliError } from "../../errors.ts";
import { schemaComment } from "../../manifests/schema-url.ts";
import { writeLine } from "../../output/write.ts";
import { writeNewFile } from "./write-new-file.ts";

export interface NewSkillOptions {
  readonly name: string;
  readonly dir?: string;
  /** A manifest instead of a folder. */
  readonly manifest?: boolean;
}

export async function newSkill({ name, dir, manifest = false }: NewSkillOptions, io: CommandIo): Promise<void> {
  const markdown = skillMarkdown(name);
  requireGoodName(name, markdown);
  const made = manifest
    ? { dir, path: `${name}.yaml`, text: manifestOf(name, markdown) }
    : { dir, path: `${name}/SKILL.md`, text: markdown };
  const file = await writeNewFile(made, io);
  writeLine(io.stdout, `${file} is made`);
  writeLine(io.stderr, "Say in it what the skill is for and how it is done, then:");
  writeLine(
    io.stderr,
    manifest ? `  stigmer apply -f ${file}` : `  stigmer skill push ${file.replace(/\/SKILL\.md$/, "")}`,
  );
  writeLine(io.stderr, `and give it to an agent: skillRefs: [{ kind: skill, slug: ${name} }]`);
}

function requireGoodName(name: string, markdown: string): void {
  try {
    parseSkill(markdown);
  } catch (error) {
    if (!SkillError.is(error)) throw error;
    const reason = error.problems[0]?.message ?? error.message;
    throw new CliError("usage", `A skill can't be called ${JSON.stringify(name)}: it ${reason}`, { cause: error });
  }
}

/** Quoted where YAML would take it for a number or the like. */
function yamlName(name: string): string {
  return stringify(name, { lineWidth: 0 }).trimEnd();
}

function skillMarkdown(name: string): string {
  return `---
name: ${yamlName(name)}
description: Says how commit messages are written here. Use it before every commit.
---

# Commit messages

1. Look at what changed: \`git diff --staged\`.
2. One subject line in the present tense, at most 72 characters, that says why and not only what.
3. Details, where they are needed, in a paragraph below an empty line.
`;
}

function manifestOf(name: string, markdown: string): string {
  const indented = markdown.replace(/^(?=.)/gm, "    ");
  return `${schemaComment("Skill")}
apiVersion: ${agenticApiVersion}
kind: Skill
metadata:
  name: ${yamlName(name)}
spec:
  # A SKILL.md: name and description first, then what the agent reads when it uses the skill.
  skillMd: |
${indented}`;
}
