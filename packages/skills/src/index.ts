// For everyone who gives skills to an agent.
export { createSkillWriter } from "./skill-writer.ts";
export type { Skill, SkillSandbox, SkillWriter, SkillWriterOptions } from "./skill-writer.ts";
export { promptSection } from "./prompt-section.ts";
export type { AvailableSkill } from "./prompt-section.ts";

// For who takes skills in.
export { parseSkill } from "./parse-skill.ts";
export type { ParsedSkill, SkillFrontmatter } from "./parse-skill.ts";
export { readRequirements, REQUIRES_KEY } from "./requirements.ts";
export type { SkillRequirement } from "./requirements.ts";

export { openSkillArchive } from "./archive/open-archive.ts";
export type { ArchiveFile, OpenArchiveOptions, SkillArchive } from "./archive/open-archive.ts";
export type { ArchiveLimits } from "./archive/limits.ts";

export { SkillError } from "./errors.ts";
export type { SkillErrorCode, SkillProblem } from "./errors.ts";
