import { parseSkill, SkillError } from "@stigmer/skills";
import type { Skill } from "@stigmer/protos/skill/v1";
import { zipFiles } from "../skills/zip-files.ts";

/** What is wrong with a skill's Markdown, in words; empty when nothing is. */
export function checkSkill(skill: Skill): string[] {
  const name = skill.metadata?.name ?? "";
  try {
    const { frontmatter } = parseSkill(skill.spec?.skillMd ?? "");
    if (frontmatter.name === name) return [];
    return [`its frontmatter says name: ${frontmatter.name}, but metadata.name is ${name}: they must be the same`];
  } catch (error) {
    if (!SkillError.is(error)) throw error;
    if (error.problems.length === 0) return [error.message];
    return error.problems.map(({ field, message, line }) =>
      line === undefined ? `${field}: ${message}` : `${field} (line ${line} of the Markdown): ${message}`,
    );
  }
}

/** The zip that is pushed: SKILL.md at its root, as `skill push` makes it of the same file. */
export function skillArtifact(skillMd: string): Uint8Array {
  return zipFiles([{ path: "SKILL.md", content: new TextEncoder().encode(skillMd), isExecutable: false }]);
}
