// For who writes skills. Apart from the package's main entry, since it brings a Markdown parser along.
export { lintSkill } from "./lint-skill.ts";
export type { LintedFile, LintSkillInput } from "./lint-skill.ts";
export type { FindingRule, FindingSeverity, SkillFinding } from "./finding.ts";
