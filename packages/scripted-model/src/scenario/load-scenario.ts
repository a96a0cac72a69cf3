import { readFile } from "node:fs/promises";
import { isMap, isNode, LineCounter, parseDocument, type Document } from "yaml";
import type { z } from "zod";
import { ScriptedModelError, type ScenarioProblem } from "../errors.ts";
import { checkRules } from "./check-rules.ts";
import type { ScenarioFile } from "./scenario.ts";
import { scenarioSchema } from "./schema.ts";

type Path = readonly PropertyKey[];
type Place = (path: Path, key?: string) => { line: number; column: number } | undefined;

/**
 * Reads and checks a scenario file (YAML, or JSON as a part of it).
 * @throws {ScriptedModelError} `scenario-unreadable`, or `scenario-invalid` with all problems of the file at once.
 */
export async function loadScenario(path: string): Promise<ScenarioFile> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (cause) {
    const reason = (cause as Error).message;
    throw new ScriptedModelError("scenario-unreadable", `Cannot read the scenario file ${path}: ${reason}`, { cause });
  }
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines });
  if (document.errors.length > 0) {
    throw invalid(
      path,
      document.errors.map((error) => {
        const { line, col } = lines.linePos(error.pos[0]);
        return { path: "", message: error.message.split(" at line ", 1)[0] ?? error.message, line, column: col };
      }),
    );
  }
  return check(toValue(document, path), path, placeIn(document, lines));
}

// An alias without its anchor, or one that expands without end, shows only here.
function toValue(document: Document, path: string): unknown {
  try {
    return document.toJS();
  } catch (error) {
    throw invalid(path, [{ path: "", message: (error as Error).message }]);
  }
}

/**
 * The same checks for a scenario that is already an object.
 * @throws {ScriptedModelError} `scenario-invalid` with all problems at once, without lines.
 */
export function checkScenario(value: unknown): ScenarioFile {
  return check(value, "given as an object", () => undefined);
}

function check(value: unknown, name: string, place: Place): ScenarioFile {
  const problems: ScenarioProblem[] = [];
  const report = (path: Path, message: string, key?: string): void => {
    problems.push({ path: spell(key === undefined ? path : [...path, key]), message, ...place(path, key) });
  };
  const parsed = scenarioSchema.safeParse(value);
  if (parsed.success) checkRules(parsed.data, report);
  else for (const issue of parsed.error.issues) reportIssue(issue, report);
  if (problems.length > 0) throw invalid(name, problems);
  return parsed.data as ScenarioFile;
}

function reportIssue(issue: z.core.$ZodIssue, report: (path: Path, message: string, key?: string) => void): void {
  if (issue.code === "unrecognized_keys") {
    for (const key of issue.keys) report(issue.path, "is not a field of a scenario file here", key);
  } else if (issue.code === "invalid_key") {
    report(issue.path, issue.issues[0]?.message ?? issue.message);
  } else {
    report(issue.path, issue.message.replace(/^Invalid input: /, ""));
  }
}

function invalid(name: string, problems: ScenarioProblem[]): ScriptedModelError {
  const sorted = problems.toSorted((a, b) => (a.line ?? 0) - (b.line ?? 0) || (a.column ?? 0) - (b.column ?? 0));
  const list = sorted.map(({ path, message, line, column }) => {
    const where = line === undefined ? "" : `${line}:${column} `;
    return `  ${where}${path === "" ? "" : `${path}: `}${message}`;
  });
  const title = `Scenario ${name} has ${sorted.length === 1 ? "a problem" : `${sorted.length} problems`}:`;
  return new ScriptedModelError("scenario-invalid", [title, ...list].join("\n"), { problems: sorted });
}

/** Finds a field's place: that of its key, of its value, or, when it is missing, of the nearest thing that holds it. */
function placeIn(document: Document, lines: LineCounter): Place {
  return (path, key) => {
    for (const start = key === undefined ? [...path] : [...path, key]; ; start.pop()) {
      const offset = offsetOf(document, start);
      if (offset !== undefined) {
        const { line, col } = lines.linePos(offset);
        return { line, column: col };
      }
      if (start.length === 0) return { line: 1, column: 1 };
    }
  };
}

function offsetOf(document: Document, path: Path): number | undefined {
  const last = path.at(-1);
  const parent = path.length === 0 ? undefined : document.getIn(path.slice(0, -1), true);
  if (isMap(parent)) {
    const pair = parent.items.find(({ key }) => (isNode(key) ? key.toJSON() : key) === last);
    if (pair !== undefined && isNode(pair.key)) return pair.key.range?.[0];
  }
  const node = path.length === 0 ? document.contents : document.getIn(path, true);
  return isNode(node) ? node.range?.[0] : undefined;
}

function spell(path: Path): string {
  return path.reduce<string>((text, part) => {
    if (typeof part === "number") return `${text}[${part}]`;
    return text === "" ? String(part) : `${text}.${String(part)}`;
  }, "");
}
