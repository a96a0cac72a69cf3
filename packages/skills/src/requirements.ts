// Skills that a skill needs beside it. The format has no field for it, and leaves `metadata` to what it does not define.
import { SkillError } from "./errors.ts";
import type { SkillFrontmatter } from "./parse-skill.ts";
import { skillName } from "./skill-fields.ts";

/** The key in a frontmatter's `metadata`; its value are names with spaces between, each `name` or `name@version`. */
export const REQUIRES_KEY = "stigmer.ai/requires";

export interface SkillRequirement {
  readonly name: string;
  /** A tag, a version's hash, or `latest`. */
  readonly version: string;
}

/** What a skill says that it needs, in its order. Throws `SkillError` `invalid-skill` for what can't be read. */
export function readRequirements({
  name: own,
  metadata,
}: Pick<SkillFrontmatter, "name" | "metadata">): SkillRequirement[] {
  const words = (metadata?.[REQUIRES_KEY] ?? "").split(/[\s,]+/).filter((word) => word !== "");
  const requirements = words.map((word): SkillRequirement => {
    const at = word.indexOf("@");
    const [name, version] = at < 0 ? [word, "latest"] : [word.slice(0, at), word.slice(at + 1)];
    if (!skillName.safeParse(name).success) throw invalid(`${JSON.stringify(word)} is not the name of a skill`);
    if (!/^[a-zA-Z0-9._-]+$/.test(version)) throw invalid(`${JSON.stringify(word)} has no version after the @`);
    if (name === own) throw invalid("a skill can't require itself");
    return { name, version };
  });
  const names = requirements.map(({ name }) => name);
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice !== undefined) throw invalid(`${twice} is named twice`);
  return requirements;
}

function invalid(problem: string): SkillError {
  const message = `${problem}: write names with spaces between, each \`name\` or \`name@version\``;
  return new SkillError("invalid-skill", `metadata.${REQUIRES_KEY}: ${message}`, {
    problems: [{ field: `metadata.${REQUIRES_KEY}`, message }],
  });
}
