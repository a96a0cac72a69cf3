import { describeProblem, SkillError, type SkillProblem } from "./errors.ts";
import { skillDescription, skillName } from "./skill-fields.ts";

interface NamedSkill {
  readonly id: string;
  readonly name: string;
  readonly description: string;
}

/** Everything that is wrong with skills that are to stand side by side, before one of them is written. */
export function checkSkills(skills: readonly NamedSkill[]): void {
  const problems: SkillProblem[] = [];
  const owners = new Map<string, string>();
  const ids = new Set<string>();
  let code: "invalid-skill" | "duplicate-name" = "duplicate-name";
  for (const { id, name, description } of skills) {
    const label = JSON.stringify(name);
    for (const [field, schema, value] of [
      ["name", skillName, name],
      ["description", skillDescription, description],
    ] as const) {
      const { error } = schema.safeParse(value);
      if (error) code = "invalid-skill";
      for (const issue of error?.issues ?? []) problems.push({ field: `${label} ${field}`, message: issue.message });
    }
    const owner = owners.get(name);
    if (owner !== undefined) {
      problems.push({ field: `${label} name`, message: `is used by two skills, ${owner} and ${id}: rename one` });
    } else if (ids.has(id)) {
      problems.push({ field: `${label} id`, message: `${id} is used by two skills` });
    }
    owners.set(name, id);
    ids.add(id);
  }
  if (problems.length === 0) return;
  const list = problems.map((problem) => `\n  ${describeProblem(problem)}`).join("");
  throw new SkillError(code, `No skill was written:${list}`, { problems });
}
