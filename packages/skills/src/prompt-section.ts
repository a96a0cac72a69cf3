// What the model is told of its skills before it opens one.

export interface AvailableSkill {
  readonly name: string;
  readonly description: string;
  /** Where the model finds it: what `SkillWriter.write` returned. */
  readonly path: string;
}

const heading = `## Skills

You have skills: instructions for particular kinds of work. When a task fits the description of one, read its file with the read_file tool before you start, and follow it. Paths in a SKILL.md are relative to its folder.
`;

/**
 * The part of a system prompt that lists skills: only their names, descriptions and paths (progressive disclosure). The
 * empty string when there are none.
 */
export function promptSection(skills: readonly AvailableSkill[]): string {
  if (skills.length === 0) return "";
  const items = skills.map(({ name, description, path }) => `- **${name}**: ${oneLine(description)}\n  File: ${path}`);
  return `${heading}\n${items.join("\n")}\n`;
}

/** A description over several lines would end the list. */
function oneLine(text: string): string {
  return text.replace(/\s+/g, " ").trim();
}
