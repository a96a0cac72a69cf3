import type { Sandbox } from "@stigmer/sandbox";
import { createSkillWriter, parseSkill, promptSection, type SkillWriterOptions } from "@stigmer/skills";
import type { Skill } from "@stigmer/protos/skill/v1";
import { RunError } from "./run-error.ts";

/** Puts the agent's skills where it can read them, and returns what its prompt says about them. */
export async function writeSkills(
  sandbox: Sandbox,
  directory: SkillWriterOptions["directory"],
  skills: readonly Skill[],
): Promise<string> {
  if (skills.length === 0) return "";
  const parsed = skills.map((skill) => {
    const id = skill.metadata?.id ?? "";
    try {
      const { frontmatter, body } = parseSkill(skill.spec?.skillMd ?? "");
      return { id, name: frontmatter.name, description: frontmatter.description, body };
    } catch (cause) {
      throw new RunError(`skill "${skill.metadata?.slug ?? id}": ${(cause as Error).message}`, { cause });
    }
  });
  const paths = await createSkillWriter({ sandbox, directory }).write(parsed);
  return promptSection(parsed.map(({ id, name, description }) => ({ name, description, path: paths.get(id) ?? "" })));
}
