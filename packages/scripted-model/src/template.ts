import type { ToolResult } from "./conversation.ts";

// Templates in a scenario's texts and string arguments:
//   {{ name }}                          a rule of the scenario's `capture`
//   {{ result("execute") }}             the last result of that tool since the human spoke
//   {{ result("execute", "\d+ ok") }}   what the regular expression finds there: its first group, or all of it
//   {{ result(2, "mean=(\S+)") }}       the same in the second result of any tool, counted from 1
//   {{ "{{" }}                          the text itself
// In a string only \" is an escape; every other backslash belongs to the regular expression. `^` and `$` match at lines.

export type Template = readonly (string | Expression)[];

type Expression =
  | { readonly kind: "capture"; readonly source: string; readonly name: string }
  | {
      readonly kind: "result";
      readonly source: string;
      readonly of: string | number;
      readonly pattern: RegExp | undefined;
    };

export interface Scope {
  readonly results: readonly ToolResult[];
  /** The value of a capture rule, or undefined when it found nothing. */
  capture(name: string): string | undefined;
}

const opening = "{{";
const token = /\s*(?:(?<name>[A-Za-z_][\w-]*)|(?<number>\d+)|"(?<string>(?:\\"|[^"])*)"|(?<mark>[(),]|\}\}))/y;

/** @throws {SyntaxError} that says what was expected where; a template that parses can fail only for want of data. */
export function parseTemplate(text: string): Template {
  const parts: (string | Expression)[] = [];
  let position = 0;
  for (;;) {
    const start = text.indexOf(opening, position);
    if (start < 0) break;
    if (start > position) parts.push(text.slice(position, start));
    const [part, end] = parseExpression(text, start);
    parts.push(part);
    position = end;
  }
  if (position < text.length) parts.push(text.slice(position));
  return parts;
}

function parseExpression(text: string, start: number): [string | Expression, number] {
  const fail = (expected: string): never => {
    const shown = text.slice(start, start + 40).split("\n", 1)[0] ?? "";
    throw new SyntaxError(
      `template ${JSON.stringify(shown)}: expected ${expected}; write {{ "{{" }} for the two braces themselves`,
    );
  };
  token.lastIndex = start + opening.length;
  const next = (): Record<string, string | undefined> => token.exec(text)?.groups ?? {};
  const close = (): number => (next()["mark"] === "}}" ? token.lastIndex : fail("}}"));
  const source = (end: number): string => text.slice(start, end);

  const first = next();
  if (first["string"] !== undefined) return [unquote(first["string"]), close()];
  const name = first["name"] ?? fail('a name, result(…) or a "string"');
  const afterName = next();
  if (afterName["mark"] === "}}") {
    const end = token.lastIndex;
    return [{ kind: "capture", source: source(end), name }, end];
  }
  if (name !== "result" || afterName["mark"] !== "(") fail("}} after the name; the only function is result(…)");

  const argument = next();
  const of = argument["string"] === undefined ? Number(argument["number"] ?? Number.NaN) : unquote(argument["string"]);
  if (of === "" || of === 0 || Number.isNaN(of)) fail("a tool's name or a number from 1 as the first argument");
  const separator = next();
  let pattern: RegExp | undefined;
  if (separator["mark"] === ",") {
    pattern = new RegExp(unquote(next()["string"] ?? fail("a regular expression in double quotes")), "m");
    if (next()["mark"] !== ")") fail(") after the regular expression");
  } else if (separator["mark"] !== ")") fail(") or , after the first argument");
  const end = close();
  return [{ kind: "result", source: source(end), of, pattern }, end];
}

function unquote(quoted: string): string {
  return quoted.replaceAll('\\"', '"');
}

/** @throws {RangeError} naming the expression that found nothing and where it looked. */
export function renderTemplate(template: Template, scope: Scope): string {
  return template.map((part) => (typeof part === "string" ? part : evaluate(part, scope))).join("");
}

function evaluate(expression: Expression, scope: Scope): string {
  if (expression.kind === "capture") {
    const value = scope.capture(expression.name);
    if (value === undefined) throw new RangeError(`${expression.source} found nothing: its capture rule did not match`);
    return value;
  }
  const { of, pattern, source } = expression;
  const where = typeof of === "number" ? `result ${of}` : `last result of ${of}`;
  const result = typeof of === "number" ? scope.results[of - 1] : scope.results.findLast((entry) => entry.tool === of);
  if (result === undefined) {
    const had = scope.results.map((entry) => entry.tool).join(", ") || "none";
    throw new RangeError(`${source} found nothing: there is no ${where} (results since the human message: ${had})`);
  }
  if (pattern === undefined) return result.text;
  const found = firstGroup(pattern, result.text);
  if (found === undefined) {
    throw new RangeError(`${source} found nothing in ${where} ${JSON.stringify(result.text.slice(0, 300))}`);
  }
  return found;
}

/** What a capture means everywhere in a scenario: the first group if it took part, else the whole match. */
export function firstGroup(pattern: RegExp, text: string): string | undefined {
  const match = pattern.exec(text);
  return match === null ? undefined : (match[1] ?? match[0]);
}
