// The rules of agentskills.io for a skill's folder, none of which needs a server.
import { posix } from "node:path";
import { isMap, isScalar, LineCounter } from "yaml";
import { SkillError } from "../errors.ts";
import { parseSkill, readYaml, splitFrontmatter, type SplitSkill } from "../parse-skill.ts";
import { readRequirements } from "../requirements.ts";
import type { SkillFinding } from "./finding.ts";
import { type LintedText, lintReferences } from "./lint-references.ts";

export interface LintedFile {
  /** Relative to the skill, with `/` between the parts. */
  readonly path: string;
  readonly content: Uint8Array;
  readonly isExecutable: boolean;
}

export interface LintSkillInput {
  /** What the skill's folder is called, which its name must be. Undefined for a skill that has none. */
  readonly folder?: string;
  readonly files: readonly LintedFile[];
}

const SKILL_MD = "SKILL.md";
const KNOWN_FIELDS = new Set(["name", "description", "license", "compatibility", "metadata", "allowed-tools"]);
// What the specification recommends: 500 lines and 5,000 tokens, of about four characters each.
const MOST_LINES = 500;
const MOST_CHARACTERS = 20_000;
/** Shorter ones ("Helps with PDFs.") say either what a skill does, or when to use it. */
const FEWEST_CHARACTERS = 20;
const MOST_BYTES = 1024 * 1024;

/** Everything that is wrong with a skill, or could be better, in the order of its files and lines. */
export function lintSkill({ folder, files }: LintSkillInput): SkillFinding[] {
  const skillMd = files.find(({ path }) => path === SKILL_MD);
  if (skillMd === undefined) {
    const message = `there is no ${SKILL_MD}: a skill's folder begins with one`;
    return [{ severity: "error", rule: "frontmatter", file: SKILL_MD, message }];
  }
  const markdown = new TextDecoder().decode(skillMd.content);
  const parts = split(markdown);
  const texts = [
    { path: SKILL_MD, markdown: parts?.body ?? "", firstLine: parts?.bodyLine ?? 1 },
    ...files.filter(({ path }) => path !== SKILL_MD).flatMap(toText),
  ];
  const paths = files.map(({ path }) => path);
  const findings = [
    ...lintFrontmatter(markdown, folder),
    ...(parts === undefined ? [] : [...lintFields(parts), ...lintBody(parts)]),
    ...lintReferences(texts, paths),
    ...files.flatMap(lintFile),
  ];
  const rank = ({ file }: SkillFinding): number => (file === SKILL_MD ? -1 : paths.indexOf(file));
  return findings.toSorted((a, b) => rank(a) - rank(b) || (a.line ?? 0) - (b.line ?? 0));
}

function split(markdown: string): SplitSkill | undefined {
  try {
    return splitFrontmatter(markdown);
  } catch {
    // `lintFrontmatter` says why.
    return undefined;
  }
}

function toText({ path, content }: LintedFile): LintedText[] {
  if (!path.toLowerCase().endsWith(".md") || content.length > MOST_BYTES) return [];
  return [{ path, markdown: new TextDecoder().decode(content), firstLine: 1 }];
}

function lintFrontmatter(markdown: string, folder: string | undefined): SkillFinding[] {
  const error = { severity: "error", file: SKILL_MD } as const;
  try {
    const { frontmatter } = parseSkill(markdown);
    const findings: SkillFinding[] = [];
    if (folder !== undefined && frontmatter.name !== folder) {
      const message = `the skill is called ${frontmatter.name}, its folder ${folder}: give both the same name`;
      findings.push({ ...error, rule: "folder-name", message, line: lineOf(markdown, "name") });
    }
    if ([...frontmatter.description.trim()].length < FEWEST_CHARACTERS) {
      const message = "description: is too short to decide by: say what the skill does, and when to use it";
      const line = lineOf(markdown, "description");
      findings.push({ severity: "warning", rule: "short-description", file: SKILL_MD, message, line });
    }
    return [...findings, ...lintRequirements(frontmatter, lineOf(markdown, "metadata"))];
  } catch (failure) {
    if (!SkillError.is(failure)) throw failure;
    return failure.problems.map(({ field, message, line }) => ({
      ...error,
      rule: "frontmatter",
      message: `${field}: ${message}`,
      ...(line !== undefined && { line }),
    }));
  }
}

function lintRequirements(frontmatter: Parameters<typeof readRequirements>[0], line: number): SkillFinding[] {
  try {
    readRequirements(frontmatter);
    return [];
  } catch (failure) {
    if (!SkillError.is(failure)) throw failure;
    return [{ severity: "error", rule: "requires", file: SKILL_MD, line, message: failure.message }];
  }
}

function lineOf(markdown: string, field: string): number {
  return markdown.split(/\r?\n/).findIndex((line) => line.startsWith(`${field}:`)) + 1 || 1;
}

/** What is in the frontmatter beside what it may have. */
function lintFields({ yaml }: SplitSkill): SkillFinding[] {
  const lines = new LineCounter();
  let contents: unknown;
  try {
    ({ contents } = readYaml(yaml, lines));
  } catch {
    return [];
  }
  if (!isMap(contents)) return [];
  const findings: SkillFinding[] = [];
  const warn = (rule: "unknown-field" | "metadata-text", node: unknown, message: string): void => {
    const line = isScalar(node) && node.range ? lines.linePos(node.range[0]).line : 1;
    findings.push({ severity: "warning", rule, file: SKILL_MD, line, message });
  };
  for (const { key, value } of contents.items) {
    const name = isScalar(key) ? String(key.value) : "";
    if (!KNOWN_FIELDS.has(name))
      warn("unknown-field", key, `${name}: is no field of the format, and is not read: put it under metadata`);
    if (name !== "metadata" || !isMap(value)) continue;
    for (const entry of value.items) {
      if (!isScalar(entry.key) || !isScalar(entry.value) || typeof entry.value.value === "string") continue;
      const { value: written } = entry.value;
      const label = `metadata.${String(entry.key.value)}`;
      warn("metadata-text", entry.key, `${label}: is ${String(written)}, where the format has texts: put it in quotes`);
    }
  }
  return findings;
}

function lintBody({ body, bodyLine }: SplitSkill): SkillFinding[] {
  const warning = { severity: "warning", file: SKILL_MD, line: bodyLine } as const;
  if (body === "") {
    return [{ ...warning, rule: "empty-body", message: "there are no instructions below the frontmatter: write them" }];
  }
  const lines = body.split("\n").length;
  const advice = "move details into files of references/, which agents read when they need them";
  if (lines > MOST_LINES)
    return [{ ...warning, rule: "long-body", message: `the text has ${lines} lines, over ${MOST_LINES}: ${advice}` }];
  if (body.length <= MOST_CHARACTERS) return [];
  const tokens = Math.round(body.length / 4).toLocaleString("en");
  return [{ ...warning, rule: "long-body", message: `the text has about ${tokens} tokens, over 5,000: ${advice}` }];
}

function lintFile({ path, content, isExecutable }: LintedFile): SkillFinding[] {
  if (path !== SKILL_MD && posix.basename(path) === SKILL_MD) {
    const message = `is not read as a skill, since it is within one: push ${posix.dirname(path)} by itself`;
    return [{ severity: "warning", rule: "nested-skill", file: path, message }];
  }
  const isScript = content[0] === 0x23 && content[1] === 0x21;
  if (!isScript || isExecutable || !path.startsWith("scripts/")) return [];
  const message = "begins with #!, and can't be run: chmod +x it";
  return [{ severity: "warning", rule: "not-executable", file: path, message }];
}
