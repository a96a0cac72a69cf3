// Skills → files in a sandbox, through its file interface, so that one writer serves every backend.
import type { SandboxFiles } from "@stigmer/sandbox";
import { describeProblem, SkillError, type SkillProblem } from "./errors.ts";
import { skillDescription, skillName } from "./skill-fields.ts";

export interface Skill {
  /** Whatever the caller knows it by. */
  readonly id: string;
  readonly name: string;
  readonly description: string;
  /** Markdown, without frontmatter. */
  readonly body: string;
}

/** What is needed of a sandbox. */
export interface SkillSandbox {
  readonly files: Pick<SandboxFiles, "upload" | "resolve">;
}

export interface SkillWriterOptions {
  readonly sandbox: SkillSandbox;
  /** Under the sandbox root. `skills` (default), or `.stigmer/skills` where the root is a user's own directory. */
  readonly directory?: "skills" | ".stigmer/skills";
}

export interface SkillWriter {
  /**
   * Writes `<directory>/<name>.md` for each skill and returns their paths by id, absolute as commands see them. Everything
   * is checked before the first file is written. Throws `SkillError` `invalid-skill`, `duplicate-name` or `write-failed`.
   */
  write(skills: readonly Skill[]): Promise<Map<string, string>>;
}

/** Throws `SkillError` `no-sandbox`, and `invalid-argument` for another directory. */
export function createSkillWriter({ sandbox, directory = "skills" }: SkillWriterOptions): SkillWriter {
  if (typeof sandbox?.files?.upload !== "function") {
    throw new SkillError(
      "no-sandbox",
      "Skills need a sandbox to be written into, but none was given. Create one first.",
    );
  }
  if (directory !== "skills" && directory !== ".stigmer/skills") {
    const message = `Unknown skills directory ${JSON.stringify(directory)}. Known: "skills", ".stigmer/skills".`;
    throw new SkillError("invalid-argument", message);
  }
  return {
    async write(skills) {
      checkSkills(skills);
      const files = skills.map((skill) => ({ path: `${directory}/${skill.name}.md`, content: toMarkdown(skill) }));
      try {
        await sandbox.files.upload(files);
      } catch (cause) {
        const reason = cause instanceof Error ? cause.message : String(cause);
        throw new SkillError("write-failed", `The skills could not be written into ${directory}/: ${reason}`, {
          cause,
        });
      }
      return new Map(skills.map((skill, at) => [skill.id, sandbox.files.resolve(files[at]?.path ?? directory)]));
    },
  };
}

/** A heading and the description before the body: the frontmatter has done its work when the model opens the file. */
function toMarkdown({ name, description, body }: Omit<Skill, "id">): string {
  return `# ${name}\n\n**Description**: ${description}\n\n---\n\n${body}`;
}

function checkSkills(skills: readonly Skill[]): void {
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
