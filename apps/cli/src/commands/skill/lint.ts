import { readdir } from "node:fs/promises";
import { basename, join, resolve } from "node:path";
import { openSkillArchive, SkillError } from "@stigmer/skills";
import { lintSkill, type SkillFinding } from "@stigmer/skills/lint";
import type { CommandIo } from "../../command-io.ts";
import { CliError, exitCodes } from "../../errors.ts";
import { plainText } from "../../output/plain-text.ts";
import { writeLine } from "../../output/write.ts";
import { readSkillFolder } from "../../skills/read-skill-folder.ts";
import { isFolder } from "../../skills/write-skill-folder.ts";
import { zipFiles } from "../../skills/zip-files.ts";

export interface SkillLintOptions {
  /** Folders of skills, or folders of such folders. */
  readonly folders: readonly string[];
  /** Let warnings fail too. */
  readonly strict?: boolean;
  readonly json?: boolean;
}

/** What is wrong with a skill in one folder. `rule` `archive` is what a push would refuse. */
interface LintedSkill {
  readonly folder: string;
  readonly findings: readonly (Omit<SkillFinding, "rule"> & { readonly rule: SkillFinding["rule"] | "archive" })[];
}

/** Checks skills by the rules of agentskills.io, without a server. Exit code 1 when one has an error. */
export async function skillLint({ folders, strict, json }: SkillLintOptions, io: CommandIo): Promise<number> {
  const found = await Promise.all(folders.map((folder) => findSkillFolders(folder, io)));
  const skills: LintedSkill[] = [];
  for (const folder of new Set(found.flat())) skills.push(await lintFolder(folder, io));
  const findings = skills.flatMap((skill) => skill.findings);
  const errors = findings.filter(({ severity }) => severity === "error").length;
  const warnings = findings.length - errors;
  if (json) {
    writeLine(io.stdout, JSON.stringify({ skills, errors, warnings }, null, 2));
  } else {
    for (const skill of skills)
      for (const finding of skill.findings) writeLine(io.stdout, describe(skill.folder, finding));
    const count = (n: number, noun: string): string => `${n} ${noun}${n === 1 ? "" : "s"}`;
    writeLine(io.stderr, `${count(skills.length, "skill")}: ${count(errors, "error")}, ${count(warnings, "warning")}`);
  }
  return errors > 0 || (strict && warnings > 0) ? exitCodes.failed : 0;
}

/** `word-count/SKILL.md:7: error: the link to x leads nowhere (broken-link)`: as compilers write it, so that editors follow. */
function describe(folder: string, { file, line, severity, rule, message }: LintedSkill["findings"][number]): string {
  const place = [join(folder, file), ...(line === undefined ? [] : [line])].join(":");
  return plainText(`${place}: ${severity}: ${message} (${rule})`);
}

/** The folder itself, or those in it that have a SKILL.md when it has none. */
async function findSkillFolders(folder: string, io: CommandIo): Promise<string[]> {
  const path = resolve(io.cwd, folder);
  if (!(await isFolder(path)))
    throw new CliError("failed", `${folder} is no folder: name a skill's folder, or one of such`);
  const entries = await readdir(path, { withFileTypes: true });
  if (entries.some(({ name }) => name === "SKILL.md")) return [folder];
  const within: string[] = [];
  for (const entry of entries.filter((entry) => entry.isDirectory())) {
    if ((await readdir(join(path, entry.name))).includes("SKILL.md")) within.push(join(folder, entry.name));
  }
  if (within.length > 0) return within.toSorted();
  throw new CliError(
    "failed",
    `${folder} has no SKILL.md, nor has a folder in it: name a skill's folder, or one of such`,
  );
}

async function lintFolder(folder: string, io: CommandIo): Promise<LintedSkill> {
  const path = resolve(io.cwd, folder);
  const refused = (message: string): LintedSkill["findings"][number] => {
    return { severity: "error", rule: "archive", file: "", message };
  };
  try {
    const { files } = await readSkillFolder(path);
    const findings = lintSkill({ folder: basename(path), files });
    if (findings.some(({ severity }) => severity === "error")) return { folder, findings };
    await openSkillArchive(zipFiles(files));
    return { folder, findings };
  } catch (error) {
    if (SkillError.is(error))
      return { folder, findings: error.problems.map(({ message }) => refused(`its archive ${message}`)) };
    if (CliError.is(error)) return { folder, findings: [refused(error.message.replace(/\.$/, ""))] };
    throw error;
  }
}
