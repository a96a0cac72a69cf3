// Glob patterns, matched in time that grows with pattern times path. Patterns and file names both come from
// models: with the regular expressions that libraries make of `*a*a*a*a*a*a*a*ac`, one name of 60 letters takes a minute.
import { SandboxError } from "./errors.ts";

const mostAlternatives = 256;

export interface Glob {
  /** Whether this path, relative to where the pattern applies, matches. */
  matches(path: string): boolean;
  /** Whether anything under this directory could match. */
  mayMatchBelow(directory: string): boolean;
}

export interface GlobSyntaxOptions {
  /** Whether wildcards match names that begin with a dot. */
  readonly dot: boolean;
}

type Token = "star" | ((character: string) => boolean);
/** `"globstar"` stands for any number of names. */
type Segment = "globstar" | { readonly tokens: readonly Token[]; readonly namesDot: boolean };

/**
 * `*` and `?` within a name, `**` for any number of directories, `[a-z]`, `[!a]`, `{a,b}`, and `\` before a character that
 * is meant literally. Throws `invalid-argument`, and `outside-root` for a pattern that leads upwards.
 */
export function parseGlob(pattern: string, options: GlobSyntaxOptions): Glob {
  if (pattern === "") throw new SandboxError("invalid-argument", "Expected a glob pattern, got an empty one.");
  const alternatives = expandBraces(pattern).map((alternative) => parseSegments(alternative, pattern));
  return {
    matches: (path) => alternatives.some((segments) => positionsAfter(segments, path, options).has(segments.length)),
    mayMatchBelow: (directory) =>
      alternatives.some((segments) =>
        [...positionsAfter(segments, directory, options)].some((position) => position < segments.length),
      ),
  };
}

/** `a{b,c{d,e}}` → `ab`, `acd`, `ace`. Braces without a comma, or without their end, stand for themselves. */
function expandBraces(pattern: string): string[] {
  const results: string[] = [];
  const pending = [pattern];
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    const group = firstBraces(next);
    if (group === undefined) results.push(next);
    else for (const choice of group.choices) pending.push(`${group.before}${choice}${group.after}`);
    if (results.length + pending.length > mostAlternatives) {
      const message = `The pattern ${JSON.stringify(pattern)} has more than ${mostAlternatives} alternatives. Search more than once.`;
      throw new SandboxError("invalid-argument", message);
    }
  }
  return results;
}

interface Braces {
  readonly before: string;
  readonly choices: readonly string[];
  readonly after: string;
}

function firstBraces(pattern: string): Braces | undefined {
  for (let start = 0; start < pattern.length; start++) {
    if (pattern[start] === "\\") start++;
    else if (pattern[start] === "{") {
      const group = bracesAt(pattern, start);
      if (group !== undefined) return group;
    }
  }
  return undefined;
}

function bracesAt(pattern: string, start: number): Braces | undefined {
  const choices: string[] = [];
  let depth = 0;
  let choiceStart = start + 1;
  for (let at = start; at < pattern.length; at++) {
    const character = pattern[at];
    if (character === "\\") at++;
    else if (character === "{") depth++;
    else if (character === "," && depth === 1) {
      choices.push(pattern.slice(choiceStart, at));
      choiceStart = at + 1;
    } else if (character === "}" && --depth === 0) {
      if (choices.length === 0) return undefined;
      choices.push(pattern.slice(choiceStart, at));
      return { before: pattern.slice(0, start), choices, after: pattern.slice(at + 1) };
    }
  }
  return undefined;
}

function parseSegments(alternative: string, pattern: string): Segment[] {
  const names = alternative.split("/").filter((name) => name !== "" && name !== ".");
  if (names.includes("..")) {
    throw new SandboxError(
      "outside-root",
      `The pattern ${JSON.stringify(pattern)} leads upwards. Set the directory instead.`,
    );
  }
  // What is looked for are files: `a/**` means what lies under `a`.
  if (names.at(-1) === "**") names.push("*");
  return names.map((name) => (name === "**" ? "globstar" : parseName(name)));
}

function parseName(name: string): Segment {
  const characters = [...name];
  const tokens: Token[] = [];
  for (let at = 0; at < characters.length; at++) {
    const character = characters[at] ?? "";
    const range = character === "[" ? parseRange(characters, at) : undefined;
    if (range !== undefined) {
      tokens.push(range.token);
      at = range.end;
    } else if (character === "*") {
      if (tokens.at(-1) !== "star") tokens.push("star");
    } else if (character === "?") {
      tokens.push(() => true);
    } else {
      const literal = character === "\\" ? (characters[++at] ?? "\\") : character;
      tokens.push((other) => other === literal);
    }
  }
  return { tokens, namesDot: /^\\?\./.test(name) };
}

/** `[...]` from its bracket on; none where it doesn't end. */
function parseRange(characters: readonly string[], start: number): { token: Token; end: number } | undefined {
  const negated = characters[start + 1] === "!" || characters[start + 1] === "^";
  const first = start + (negated ? 2 : 1);
  // A bracket in the first place is one of the characters.
  const end = characters.indexOf("]", first + 1);
  if (end === -1) return undefined;
  const ranges: [from: string, to: string][] = [];
  for (let at = first; at < end; at++) {
    const from = characters[at] ?? "";
    const isRange = characters[at + 1] === "-" && at + 2 < end;
    ranges.push([from, isRange ? (characters[at + 2] ?? "") : from]);
    if (isRange) at += 2;
  }
  const inRange = (character: string): boolean => ranges.some(([from, to]) => from <= character && character <= to);
  return { token: (character) => inRange(character) !== negated, end };
}

/** All positions in the pattern at which one can be after the names of this path. */
function positionsAfter(segments: readonly Segment[], path: string, options: GlobSyntaxOptions): Set<number> {
  let positions = withGlobstars(segments, [0]);
  for (const name of path.split("/")) {
    if (name === "") continue;
    const hidden = name.startsWith(".") && !options.dot;
    const characters = [...name];
    const next: number[] = [];
    for (const position of positions) {
      const segment = segments[position];
      if (segment === undefined) continue;
      if (segment === "globstar") {
        if (!hidden) next.push(position);
      } else if ((!hidden || segment.namesDot) && matchesName(segment.tokens, characters)) {
        next.push(position + 1);
      }
    }
    positions = withGlobstars(segments, next);
  }
  return positions;
}

/** A globstar may also stand for nothing. */
function withGlobstars(segments: readonly Segment[], positions: readonly number[]): Set<number> {
  const result = new Set<number>();
  for (const start of positions) {
    let position = start;
    result.add(position);
    while (segments[position] === "globstar") result.add(++position);
  }
  return result;
}

/** Only the last star ever needs to take one character more, which is what keeps this from growing exponentially. */
function matchesName(tokens: readonly Token[], characters: readonly string[]): boolean {
  let at = 0;
  let star = -1;
  let starTook = 0;
  for (let position = 0; position < characters.length;) {
    const token = tokens[at];
    if (token === "star") {
      star = at++;
      starTook = position;
    } else if (token?.(characters[position] ?? "")) {
      at++;
      position++;
    } else if (star !== -1) {
      at = star + 1;
      position = ++starTook;
    } else {
      return false;
    }
  }
  while (tokens[at] === "star") at++;
  return at === tokens.length;
}
