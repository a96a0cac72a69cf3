// What went wrong with a skill.

export type SkillErrorCode =
  | "invalid-skill"
  | "duplicate-name"
  | "invalid-archive"
  | "archive-too-large"
  | "name-taken"
  | "no-sandbox"
  | "invalid-argument"
  | "write-failed";

/** One thing that is wrong in a SKILL.md. */
export interface SkillProblem {
  /** The frontmatter field, in the words of the file, or `frontmatter`, `body`, `file`. */
  readonly field: string;
  readonly message: string;
  /** Counted from 1, where it can be told. */
  readonly line?: number;
}

const brand: unique symbol = Symbol.for("@stigmer/skills.SkillError") as never;

/** The one error class of this package. `problems` holds everything that is wrong at once; `message` lists it. */
export class SkillError extends Error {
  override readonly name = "SkillError";
  readonly code: SkillErrorCode;
  readonly problems: readonly SkillProblem[];
  /** The id of the one skill that it is about, where a writer of many knows it. */
  readonly skillId?: string;

  constructor(
    code: SkillErrorCode,
    message: string,
    options?: { problems?: readonly SkillProblem[]; skillId?: string; cause?: unknown },
  ) {
    super(message, options?.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.problems = options?.problems ?? [];
    this.skillId = options?.skillId;
    Object.defineProperty(this, brand, { value: true });
  }

  /** Recognises errors of this package also from another copy of it, where `instanceof` would not. */
  static is(value: unknown): value is SkillError {
    return typeof value === "object" && value !== null && brand in value;
  }
}

export function describeProblem({ field, message, line }: SkillProblem): string {
  return line === undefined ? `${field}: ${message}` : `${field} (line ${line}): ${message}`;
}
