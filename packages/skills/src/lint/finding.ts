/** An error breaks the format, or the skill; a warning is advice of agentskills.io that was not taken. */
export type FindingSeverity = "error" | "warning";

/** Names the rule, so that a reader can look it up and a script can count. */
export type FindingRule =
  | "frontmatter"
  | "folder-name"
  | "unknown-field"
  | "metadata-text"
  | "requires"
  | "short-description"
  | "empty-body"
  | "long-body"
  | "broken-link"
  | "missing-file"
  | "deep-reference"
  | "nested-skill"
  | "not-executable";

/** One thing that is wrong with a skill, or could be better. */
export interface SkillFinding {
  readonly severity: FindingSeverity;
  readonly rule: FindingRule;
  /** Relative to the skill. */
  readonly file: string;
  /** Counted from 1, where it can be told. */
  readonly line?: number;
  /** What is wrong, and what to do about it. */
  readonly message: string;
}
