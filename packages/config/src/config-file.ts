import { readFileSync, statSync } from "node:fs";
import { type Document, isMap, isNode, isScalar, LineCounter, parseDocument } from "yaml";
import { camelCase, type ConfigFile, configFileSchema, unknownField } from "./config-schema.ts";
import type { ConfigProblem } from "./problems.ts";

export type ConfigFileResult =
  | { readonly ok: true; readonly file: ConfigFile }
  | { readonly ok: false; readonly problems: readonly ConfigProblem[] };

const maxBytes = 256 * 1024;

/** The file that was read last. A runner asks for it with each run. */
let last: { readonly path: string; readonly version: string; readonly result: ConfigFileResult } | undefined;

/** Changes that follow each other within this many milliseconds may bear the same time: what is younger is read again. */
const settlesMs = 2_000;

/** Reads and checks `config.yaml`. A file that is not there is an empty one. One that has not changed is not read again. */
export function readConfigFile(path: string): ConfigFileResult {
  try {
    const stat = statSync(path, { throwIfNoEntry: false });
    if (stat === undefined) return { ok: true, file: {} };
    const { dev, ino, size, mtimeMs, ctimeMs } = stat;
    if (size > maxBytes) return refuse(path, `is larger than ${maxBytes} bytes`);
    const version = [dev, ino, size, mtimeMs, ctimeMs].join();
    if (last?.path === path && last.version === version) return last.result;
    const result = parseConfigFile(readFileSync(path, "utf8"), path);
    const isSettled = Math.abs(Date.now() - ctimeMs) > settlesMs;
    last = isSettled ? { path, version, result } : undefined;
    return result;
  } catch (error) {
    const code = error instanceof Error && "code" in error ? String(error.code) : "unknown reason";
    // Below a file there is nothing either; that nothing can be written there is for those to say who do.
    return code === "ENOENT" || code === "ENOTDIR" ? { ok: true, file: {} } : refuse(path, `can't be read (${code})`);
  }
}

/** As `readConfigFile`, from text. `path` is only for messages. Field names are read in camelCase and snake_case. */
export function parseConfigFile(text: string, path: string): ConfigFileResult {
  const lines = new LineCounter();
  // Pretty errors quote the file, which may hold a key that does not belong there.
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const [fault] = document.errors;
  // What follows a fault of syntax is mostly its echo.
  if (fault) return { ok: false, problems: [problemAt(path, lines.linePos(fault.pos[0]), fault.message)] };
  let value: unknown;
  try {
    value = document.toJS() ?? {};
  } catch {
    return refuse(path, "can't be read: its aliases are unresolved, or expand to too much");
  }
  const result = configFileSchema.safeParse(camelCased(value));
  if (result.success) return { ok: true, file: result.data };
  return {
    ok: false,
    problems: result.error.issues.flatMap((issue) =>
      issue.code === "unrecognized_keys"
        ? issue.keys.map((key) =>
            problemAt(path, locate(document, lines, [...issue.path, key]), unknownField([...issue.path, key])),
          )
        : [
            problemAt(
              path,
              locate(document, lines, issue.path),
              `${issue.path.join(".") || "the file"}: ${issue.message}`,
            ),
          ],
    ),
  };
}

/** Where the value at a path stands or, for the last step, its key. Ends at the deepest part of the path that is there. */
function locate(
  document: Document,
  lines: LineCounter,
  path: readonly PropertyKey[],
): { line: number; col: number } | undefined {
  let node: unknown = document.contents;
  let offset = isNode(node) ? node.range?.[0] : undefined;
  for (const step of path) {
    if (!isMap(node)) break;
    const pair = node.items.find(
      ({ key }) => isScalar(key) && [String(key.value), camelCase(String(key.value))].includes(String(step)),
    );
    if (pair === undefined) break;
    if (isNode(pair.key)) offset = pair.key.range?.[0] ?? offset;
    node = pair.value;
  }
  return offset === undefined ? undefined : lines.linePos(offset);
}

/** `names` are what the user gave names to: these stay. */
function camelCased(value: unknown, names = false): unknown {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return value;
  const result: Record<string, unknown> = {};
  for (const [key, field] of Object.entries(value)) {
    // Written both ways, the second keeps its spelling and is reported as unknown.
    const name = names || camelCase(key) in result ? key : camelCase(key);
    Object.defineProperty(result, name, {
      value: camelCased(field, !names && name === "prices"),
      enumerable: true,
      configurable: true,
      writable: true,
    });
  }
  return result;
}

function problemAt(path: string, position: { line: number; col: number } | undefined, message: string): ConfigProblem {
  if (position === undefined) return { code: "bad-file", path, message: `${path}: ${message}` };
  const { line, col: column } = position;
  return { code: "bad-file", path, line, column, message: `${path}:${line}:${column}: ${message}` };
}

function refuse(path: string, message: string): ConfigFileResult {
  return { ok: false, problems: [{ code: "bad-file", path, message: `${path} ${message}` }] };
}
