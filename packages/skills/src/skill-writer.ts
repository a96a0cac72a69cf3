// Skills → files in a sandbox, through its file interface, so that one writer serves every backend.
import type { SandboxFiles } from "@stigmer/sandbox";
import { checkSkills } from "./check-skills.ts";
import { SkillError } from "./errors.ts";
import { createSkillsDirectory } from "./skills-directory.ts";

export interface Skill {
  /** Whatever the caller knows it by. */
  readonly id: string;
  readonly name: string;
  readonly description: string;
  /** Markdown, without frontmatter. */
  readonly body: string;
  /** SHA-256 of the skill's archive in hex. With it, what is there in this version is neither fetched nor written again. */
  readonly version?: string;
  /**
   * Gives the pushed zip. Asked only when it has to be written. Without it, or when it gives `undefined`, the skill is its
   * Markdown alone.
   */
  readonly archive?: () => Promise<Uint8Array | undefined>;
}

/** What is needed of a sandbox. */
export interface SkillSandbox {
  readonly files: Pick<SandboxFiles, "upload" | "resolve" | "list" | "readText" | "remove">;
}

export interface SkillWriterOptions {
  readonly sandbox: SkillSandbox;
  /** Under the sandbox root. `skills` (default), or `.stigmer/skills` where the root is a user's own directory. */
  readonly directory?: "skills" | ".stigmer/skills";
  /**
   * For whom it writes, where several share a directory: a skill goes when the last of them does without it. Default: one
   * user, without a name.
   */
  readonly user?: string;
}

export interface SkillWriter {
  /**
   * Makes the user's skills in the directory be these, and returns their paths by id, absolute as commands see them:
   * `<directory>/<name>.md` for Markdown alone, `<directory>/<name>/SKILL.md` for an archive with more files, which is
   * unpacked around it. What is there in the same version stays as it is; an older version, and what the user had before and
   * has no more, goes. What somebody else put there is never touched. Not for several calls at a time on one directory.
   *
   * All skills are checked before the first is written, archives one by one before theirs is. Throws `SkillError`
   * `invalid-skill`, `duplicate-name`, `invalid-archive`, `archive-too-large`, `name-taken` or `write-failed`.
   */
  write(skills: readonly Skill[]): Promise<Map<string, string>>;
}

/** Throws `SkillError` `no-sandbox`, and `invalid-argument` for another directory. */
export function createSkillWriter({ sandbox, directory = "skills", user = "" }: SkillWriterOptions): SkillWriter {
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
  const skillsDirectory = createSkillsDirectory({ files: sandbox.files, directory, user });
  return {
    async write(skills) {
      checkSkills(skills);
      try {
        const entries = await skillsDirectory.replaceAll(skills);
        return new Map(
          skills.map(({ id, name }) => {
            const entry = entries.get(name) ?? name;
            return [id, sandbox.files.resolve(`${directory}/${entry === name ? `${name}/SKILL.md` : entry}`)];
          }),
        );
      } catch (cause) {
        if (SkillError.is(cause)) throw cause;
        const reason = cause instanceof Error ? cause.message : String(cause);
        throw new SkillError("write-failed", `The skills could not be written into ${directory}/: ${reason}`, {
          cause,
        });
      }
    },
  };
}
