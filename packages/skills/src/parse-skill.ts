// SKILL.md → what it says about itself, and its instructions.
import { LineCounter, parseDocument, type Document } from "yaml";
import type { z } from "zod";
import { describeProblem, SkillError, type SkillProblem } from "./errors.ts";
import { frontmatterSchema } from "./skill-fields.ts";

const mostBytes = 1024 * 1024;
/** Enough for an anchor used here and there, far from the billion laughs. */
const maxAliasCount = 20;
/** YAML can cost far more than its length, and no honest frontmatter is longer. */
const mostFrontmatterCharacters = 64 * 1024;

export interface SkillFrontmatter {
  /** At most 64 lower-case letters, digits and single hyphens. */
  readonly name: string;
  /** What the skill does and when to use it, at most 1,024 characters. */
  readonly description: string;
  readonly license?: string;
  /** What the skill needs of its surroundings, at most 500 characters. */
  readonly compatibility?: string;
  readonly metadata?: Readonly<Record<string, string>>;
  /** Tools that the skill may use without asking. */
  readonly allowedTools?: readonly string[];
}

export interface ParsedSkill {
  readonly frontmatter: SkillFrontmatter;
  /** The instructions: everything after the frontmatter, without the blank lines around it. */
  readonly body: string;
}

/**
 * Reads a SKILL.md in the format of agentskills.io. Throws `SkillError` `invalid-skill` with all problems at once, each
 * with its field and, where it can be told, its line.
 */
export function parseSkill(markdown: string): ParsedSkill {
  if (Buffer.byteLength(markdown) > mostBytes) {
    throw invalid([
      { field: "file", message: `has ${Buffer.byteLength(markdown)} bytes, more than the ${mostBytes} allowed` },
    ]);
  }
  const { yaml, body } = splitFrontmatter(markdown);
  const lines = new LineCounter();
  const document = readYaml(yaml, lines);
  const values = toPlainValues(document);
  const result = frontmatterSchema.safeParse(values);
  if (!result.success) throw invalid(result.error.issues.map((issue) => toProblem(issue, document, lines)));
  const { "allowed-tools": allowedTools, ...rest } = result.data;
  return { frontmatter: { ...rest, ...(allowedTools && { allowedTools }) }, body };
}

export interface SplitSkill {
  /** Begins with a blank line in the place of the first `---`, so that lines are counted as in the file. */
  readonly yaml: string;
  readonly body: string;
  /** Where the body begins, counted from 1. */
  readonly bodyLine: number;
}

/** Throws `SkillError` where there is no frontmatter that begins and ends. */
export function splitFrontmatter(markdown: string): SplitSkill {
  const text = markdown.replace(/^\uFEFF/, "").replaceAll("\r\n", "\n");
  if (!/^---[ \t]*\n/.test(text)) {
    throw invalid([{ field: "frontmatter", message: "is missing: the file must begin with a line `---`", line: 1 }]);
  }
  const start = text.indexOf("\n") + 1;
  const end = /^---[ \t]*$/m.exec(text.slice(start));
  if (end === null) {
    throw invalid([{ field: "frontmatter", message: "does not end: a second line `---` is missing", line: 1 }]);
  }
  if (end.index > mostFrontmatterCharacters) {
    throw invalid([{ field: "frontmatter", message: `is longer than ${mostFrontmatterCharacters} characters` }]);
  }
  const rest = start + end.index + end[0].length;
  const body = text.slice(rest).trim();
  return {
    yaml: `\n${text.slice(start, start + end.index)}`,
    body,
    bodyLine: text.slice(0, text.indexOf(body, rest)).split("\n").length,
  };
}

/** Reads what `splitFrontmatter` found as YAML. Throws `SkillError` for what is none. */
export function readYaml(yaml: string, lines: LineCounter): Document {
  let document: Document;
  try {
    document = parseDocument(yaml, { lineCounter: lines, prettyErrors: false, logLevel: "silent" });
  } catch (error) {
    // The parser is recursive: a frontmatter nested thousands deep overflows its stack.
    const message = error instanceof RangeError ? "is nested too deep" : `is not valid YAML: ${String(error)}`;
    throw invalid([{ field: "frontmatter", message }]);
  }
  if (document.errors.length > 0) {
    throw invalid(
      document.errors.map((error) => ({
        field: "frontmatter",
        message: `is not valid YAML: ${error.message}`,
        line: lines.linePos(error.pos[0]).line,
      })),
    );
  }
  return document;
}

function toPlainValues(document: Document): unknown {
  let values: unknown;
  try {
    values = document.toJS({ maxAliasCount });
  } catch {
    throw invalid([{ field: "frontmatter", message: "uses too many YAML aliases" }]);
  }
  if (typeof values !== "object" || values === null || Array.isArray(values)) {
    throw invalid([{ field: "frontmatter", message: "must be a map with at least `name` and `description`", line: 1 }]);
  }
  return values;
}

function toProblem(issue: z.core.$ZodIssue, document: Document, lines: LineCounter): SkillProblem {
  const path = issue.path.map(String);
  const node = document.getIn(path, true) as { range?: [number, number, number] | null } | undefined;
  const missing = node === undefined && issue.code === "invalid_type";
  const position = node?.range?.[0];
  return {
    field: path.join("."),
    message: missing ? "is missing" : issue.message,
    ...(position !== undefined && { line: lines.linePos(position).line }),
  };
}

function invalid(problems: readonly SkillProblem[]): SkillError {
  const list = problems.map((problem) => `\n  ${describeProblem(problem)}`).join("");
  return new SkillError("invalid-skill", `The SKILL.md is not valid:${list}`, { problems });
}
