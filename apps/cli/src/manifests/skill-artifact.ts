import { parseSkill, SkillError } from "@stigmer/skills";
import type { Skill } from "@stigmer/protos/skill/v1";
import { zipSync } from "fflate";

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

/** The zip that is pushed: SKILL.md at its root. The same Markdown gives the same bytes, and so the same version hash. */
export function skillArtifact(skillMd: string): Uint8Array {
  // Zip has local time from 1980 on; a date made from local parts is the same in every time zone.
  const mtime = new Date(1980, 0, 1);
  return zipSync({ "SKILL.md": [new TextEncoder().encode(skillMd), { mtime, level: 9 }] });
}
