import { type Document, isAlias, isMap, isNode, isScalar, isSeq, LineCounter, parseAllDocuments } from "yaml";
import type { ManifestProblem } from "./problems.ts";

/** Where a value stands: field names and map keys as text, places in a list as numbers. */
export type FieldPath = readonly (string | number)[];

/** One document of a file, as plain values that know where they stood. */
export interface ManifestDocument {
  readonly file: string;
  readonly value: unknown;
  /** A problem at the key (or list item) that `path` ends at, or at the deepest part of the path that is there. */
  problemAt(path: FieldPath, message: string): ManifestProblem;
}

export type DocumentsResult =
  | { readonly ok: true; readonly documents: readonly ManifestDocument[] }
  | { readonly ok: false; readonly problems: readonly ManifestProblem[] };

const mostBytes = 4 * 1024 * 1024;
/** Enough for anchors in honest files, far from the billion laughs. */
const maxAliasCount = 100;
const tooDeep = "is nested too deep";
/** Faults that stand for themselves, however many there are. */
const independent: ReadonlySet<string> = new Set(["DUPLICATE_KEY", "TAG_RESOLVE_FAILED"]);

/** Reads the YAML or JSON documents of a text. Empty ones are left out. `file` is only for messages. */
export function readDocuments(text: string, file: string): DocumentsResult {
  const whole = (message: string): DocumentsResult => ({ ok: false, problems: [{ file, path: "", message }] });
  if (Buffer.byteLength(text) > mostBytes)
    return whole(`is larger than ${mostBytes / 1024 / 1024} MiB: split it into several files`);
  const lines = new LineCounter();
  let parsed: Document[];
  try {
    parsed = [...parseAllDocuments(text, { lineCounter: lines, prettyErrors: false, logLevel: "silent" })];
  } catch (error) {
    // The parser is recursive: a text nested thousands deep overflows its stack.
    return whole(error instanceof RangeError ? tooDeep : `can't be read as YAML: ${String(error)}`);
  }

  const problems: ManifestProblem[] = [];
  const documents: ManifestDocument[] = [];
  for (const document of parsed) {
    const position = (offset: number): { line: number; column: number } => {
      const { line, col } = lines.linePos(offset);
      return { line: Math.max(line, 1), column: Math.max(col, 1) };
    };
    // A warning is a tag that nobody knows, and its value would be read as something else than was meant.
    const faults = [...document.errors, ...document.warnings];
    // What follows a fault of syntax is mostly its echo.
    const firstOfSyntax = faults.find(({ code }) => !independent.has(code));
    for (const fault of faults.filter((fault) => independent.has(fault.code) || fault === firstOfSyntax)) {
      const message =
        fault.code === "DUPLICATE_KEY"
          ? `duplicate key ${keyAt(text, fault.pos[0])}: keep one of them`
          : reword(fault.message);
      problems.push({ file, ...position(fault.pos[0]), path: "", message });
    }
    if (document.errors.length > 0) continue;
    let value: unknown;
    try {
      value = document.toJS({ maxAliasCount });
    } catch (error) {
      const start = position(document.contents?.range?.[0] ?? 0);
      problems.push({ file, ...start, path: "", message: whyNotPlain(error) });
      continue;
    }
    if (value === null || value === undefined) continue;
    documents.push({
      file,
      value,
      problemAt: (path, message) => ({
        file,
        ...position(offsetOf(document, path)),
        path: showPath(path),
        message,
      }),
    });
  }
  return problems.length > 0 ? { ok: false, problems } : { ok: true, documents };
}

/** `spec.skillRefs[0].slug`; a map key that is no plain name stands in brackets and quotes. */
function showPath(path: FieldPath): string {
  return path
    .map((step, index) => {
      if (typeof step === "number") return `[${step}]`;
      if (!/^[\w$-]+$/.test(step)) return `[${JSON.stringify(step)}]`;
      return index === 0 ? step : `.${step}`;
    })
    .join("");
}

function offsetOf(document: Document, path: FieldPath): number {
  let node: unknown = document.contents;
  let offset = isNode(node) ? (node.range?.[0] ?? 0) : 0;
  for (const step of path) {
    if (isAlias(node)) node = node.resolve(document);
    if (isMap(node)) {
      const pairs = node.items.filter(({ key }) => isScalar(key));
      const keyOf = ({ key }: { key: unknown }): string => String((key as { value: unknown }).value);
      const pair = pairs.find((pair) => keyOf(pair) === step) ?? pairs.find((pair) => camelCase(keyOf(pair)) === step);
      if (pair === undefined) break;
      if (isNode(pair.key)) offset = pair.key.range?.[0] ?? offset;
      node = pair.value;
    } else if (isSeq(node) && typeof step === "number") {
      node = node.items[step];
      if (!isNode(node)) break;
      offset = node.range?.[0] ?? offset;
    } else break;
  }
  return offset;
}

/** Field names are read in camelCase and snake_case. */
export function camelCase(key: string): string {
  return key.replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
}

function keyAt(text: string, offset: number): string {
  return JSON.stringify(/^(["']?)([^"':\n]*)\1/.exec(text.slice(offset, offset + 200))?.[2]?.trim() ?? "");
}

function whyNotPlain(error: unknown): string {
  if (error instanceof RangeError) return tooDeep;
  const unresolved = error instanceof ReferenceError && /^Unresolved alias.*: (.*)$/.exec(error.message)?.[1];
  if (unresolved) return `the alias *${unresolved} has no anchor before it`;
  return `its aliases expand to too much: write out what they stand for, no more than ${maxAliasCount} are allowed`;
}

function reword(message: string): string {
  return message.startsWith("Maximum call stack") ? tooDeep : message.replace(/\s+/g, " ").trim();
}
