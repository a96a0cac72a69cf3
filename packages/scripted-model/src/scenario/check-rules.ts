import { parseTemplate } from "../template.ts";
import { mapStrings } from "./map-strings.ts";
import type { Scenario, ScenarioFile, ScriptedFailure, TextMatch, Turn } from "./scenario.ts";

type Path = readonly (string | number)[];
type Report = (path: Path, message: string) => void;

/** What the shape alone cannot say: unique names, regular expressions and templates that parse, turns that answer. */
export function checkRules(file: ScenarioFile, report: Report): void {
  const names = new Set<string>();
  for (const [index, scenario] of file.scenarios.entries()) {
    const path = ["scenarios", index];
    if (names.has(scenario.name)) report([...path, "name"], `"${scenario.name}" is the name of an earlier scenario`);
    names.add(scenario.name);
    checkPatterns(scenario, path, report);
    const captures = new Set(Object.keys(scenario.capture ?? {}));
    for (const [number, turn] of scenario.turns.entries()) {
      checkAnswers(turn, [...path, "turns", number], report);
      checkTemplates(turn, { path: [...path, "turns", number], captures, report });
    }
  }
}

function checkPatterns(scenario: Scenario, path: Path, report: Report): void {
  const check = (pattern: string, at: Path): void => {
    try {
      RegExp(pattern, "m");
    } catch (error) {
      report(at, (error as Error).message);
    }
  };
  const checkMatch = (rule: TextMatch | undefined, at: Path): void => {
    if (typeof rule === "object" && "regex" in rule) check(rule.regex, [...at, "regex"]);
  };
  const { tools = [], ...texts } = scenario.match ?? {};
  for (const [key, rule] of Object.entries(texts)) checkMatch(rule, [...path, "match", key]);
  for (const [index, rule] of tools.entries()) checkMatch(rule, [...path, "match", "tools", index]);
  for (const [name, rule] of Object.entries(scenario.capture ?? {})) {
    check(rule.pattern, [...path, "capture", name, "pattern"]);
  }
}

function checkAnswers(turn: Turn, path: Path, report: Report): void {
  const { thinking, text, toolCalls, refusal, error, cut } = turn;
  if (error !== undefined) checkFailure(error, [...path, "error"], report);
  if ([thinking, text, toolCalls, refusal].some((part) => part !== undefined)) return;
  if (error === undefined && cut === undefined)
    report(path, "says nothing: give text, thinking, toolCalls, a refusal or an error");
  else if (cut !== undefined) report([...path, "cut"], "has nothing to cut: give text, thinking or toolCalls");
  else if (error?.times !== undefined || error?.afterChunks !== undefined) {
    report(
      [...path, "error"],
      "`times` and `afterChunks` need an answer beside them: give text, thinking or toolCalls",
    );
  }
}

function checkFailure({ status, reason, contentType }: ScriptedFailure, path: Path, report: Report): void {
  if (status === undefined && reason === undefined) report(path, "says neither its status nor its reason: give one");
  const isPage = contentType !== undefined && status === 200;
  if (status !== undefined && status < 400 && !isPage) {
    report([...path, "status"], `${status} is no failure: give 400 to 599, or 200 with a contentType`);
  }
}

function checkTemplates(turn: Turn, context: { path: Path; captures: Set<string>; report: Report }): void {
  const { path, captures, report } = context;
  const { thinking, text, toolCalls, refusal } = turn;
  mapStrings({ thinking, text, refusal, toolCalls: toolCalls?.map(({ args }) => ({ args })) }, (value, at) => {
    try {
      for (const part of parseTemplate(value)) {
        if (typeof part === "string" || part.kind !== "capture" || captures.has(part.name)) continue;
        const known = [...captures].join(", ") || "none";
        report([...path, ...at], `${part.source} names no capture rule of this scenario (its rules: ${known})`);
      }
    } catch (error) {
      report([...path, ...at], (error as Error).message);
    }
    return value;
  });
}
