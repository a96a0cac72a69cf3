import { type Document, isMap, isNode, isScalar, parse, parseDocument, type YAMLMap } from "yaml";
import { parseConfigFile } from "./config-file.ts";
import { camelCase, fieldsAt, llmMeanings, unknownField } from "./config-schema.ts";
import type { ConfigProblem } from "./problems.ts";
import type { VariableName } from "./variables.ts";

/** A setting of `config.yaml`, as `stigmer config` names it. */
export interface ConfigSetting {
  /** `llm.model`; `llm.prices.<model>` where the user gives the names. */
  readonly key: string;
  readonly meaning: string;
  /** The variable that goes before it. */
  readonly variable?: VariableName;
}

const variablesOf: Readonly<Record<string, VariableName>> = {
  provider: "STIGMER_LLM_PROVIDER",
  model: "STIGMER_LLM_MODEL",
  maxTokens: "STIGMER_LLM_MAX_TOKENS",
  temperature: "STIGMER_LLM_TEMPERATURE",
};

/** All settings that there are. */
export const configSettings: readonly ConfigSetting[] = Object.entries(llmMeanings).map(([name, meaning]) => ({
  key: `llm.${name}${name === "prices" ? ".<model>" : ""}`,
  meaning,
  ...(variablesOf[name] && { variable: variablesOf[name] }),
}));

export type ConfigEdit =
  | { readonly ok: true; readonly text: string }
  | { readonly ok: false; readonly problems: readonly ConfigProblem[] };

// Editors that know YAML check the file by it.
const HEAD = "# yaml-language-server: $schema=https://unpkg.com/@stigmer/config/config.schema.json\n";

const UNFOLDED = { lineWidth: 0 };

/** Why a key is none of `config.yaml`, with what was probably meant; undefined for one that is. A group, such as `llm`, is one. */
export function problemOfKey(key: string): string | undefined {
  const path = pathOf(key);
  for (const [depth, name] of path.entries()) {
    const known = fieldsAt(depth);
    const isOwnName = depth === 2 && path[1] === "prices";
    if (!known.includes(name) && !isOwnName) return unknownField(path.slice(0, depth + 1));
    if (depth === 1 && name !== "prices" && path.length > 2) return `${key}: llm.${name} has nothing below it`;
  }
  return undefined;
}

/** What the file says of a setting or a group of them; undefined when nothing. Fields are in camelCase. */
export function readSetting(text: string, key: string): unknown {
  const document = parseDocument(text, { prettyErrors: false });
  const found = document.getIn(spelled(document, pathOf(key)), true);
  return isNode(found) ? (found.toJS(document) as unknown) : found;
}

/**
 * The file's text with a setting in it; all else stays as it is, comments too. The value is what a person types. Refused when
 * the file would not be valid with it; `file` is its path, for messages.
 */
export function setSetting(
  text: string,
  { file, key, value }: { readonly file: string; readonly key: string; readonly value: string },
): ConfigEdit {
  const wrong = problemOfKey(key) ?? problemOfValue(key, value);
  if (wrong !== undefined) return { ok: false, problems: [{ code: "bad-file", path: file, message: wrong }] };
  const document = parseDocument(text.trim() === "" ? HEAD : text, { prettyErrors: false }) as Document;
  const fault = faultIn(document, text, file);
  if (fault) return fault;
  const path = spelled(document, pathOf(key));
  let group = isMap(document.contents) ? document.contents : (document.createNode({}) as YAMLMap);
  document.contents = group;
  for (const name of path.slice(0, -1)) {
    // `llm:` with nothing below it is no map yet.
    if (!isMap(group.get(name))) group.set(name, document.createNode({}));
    group = group.get(name) as YAMLMap;
  }
  group.set(path.at(-1), typed(key, value));
  const edited = document.toString(UNFOLDED);
  const result = parseConfigFile(edited, file);
  if (result.ok) return { ok: true, text: edited };
  const before = parseConfigFile(text, file);
  // The place of a new problem is in a file that is never written; one that was there keeps its place.
  return before.ok ? { ok: false, problems: result.problems.map(withoutPlace) } : before;
}

/** The file's text without a setting or a group; groups that are left empty go too. What else is wrong in it may stay. */
export function unsetSetting(text: string, { file, key }: { readonly file: string; readonly key: string }): ConfigEdit {
  const document = parseDocument(text, { prettyErrors: false });
  const fault = faultIn(document, text, file);
  if (fault) return fault;
  const path = spelled(document, pathOf(key));
  if (!document.hasIn(path)) return { ok: true, text };
  document.deleteIn(path);
  for (let depth = path.length - 1; depth > 0; depth--) {
    const group = document.getIn(path.slice(0, depth), true);
    if (isMap(group) && group.items.length === 0) document.deleteIn(path.slice(0, depth));
  }
  // An empty map would be written as `{}`.
  if (isMap(document.contents) && document.contents.items.length === 0) document.contents = null;
  return { ok: true, text: document.contents === null ? remarksOf(document) : document.toString(UNFOLDED) };
}

/** A dot in the name of a model is no step of the path. */
function pathOf(key: string): string[] {
  const steps = key.split(".");
  const [group = "", section = "", ...rest] = steps;
  if (group !== "llm" || section !== "prices" || rest.length === 0) return steps.map(camelCase);
  const last = camelCase(rest.at(-1) ?? "");
  const isField = rest.length > 1 && fieldsAt(3).includes(last);
  return [group, section, ...(isField ? [rest.slice(0, -1).join("."), last] : [rest.join(".")])];
}

/** The path as the file spells it: fields may be in snake_case there. */
function spelled(document: Document, path: readonly string[]): string[] {
  let node: unknown = document.contents;
  return path.map((name, depth) => {
    if (!isMap(node)) return name;
    const isOwnName = depth === 2 && path[1] === "prices";
    const pair = node.items.find(({ key }) => {
      const written = isScalar(key) ? String(key.value) : "";
      return written === name || (!isOwnName && camelCase(written) === name);
    });
    node = pair?.value;
    return pair && isScalar(pair.key) ? String(pair.key.value) : name;
  });
}

/** What keeps a file from being edited at all. */
function faultIn(document: Document, text: string, file: string): Extract<ConfigEdit, { ok: false }> | undefined {
  if (document.errors.length === 0 && (document.contents === null || isMap(document.contents))) return undefined;
  const result = parseConfigFile(text, file);
  return result.ok ? undefined : result;
}

function withoutPlace(problem: ConfigProblem): ConfigProblem {
  return { ...problem, message: problem.message.replace(/^.*?:\d+:\d+: /, "") };
}

function problemOfValue(key: string, value: string): string | undefined {
  // As keys of Anthropic and of OpenAI begin.
  if (value.trim().startsWith("sk-")) {
    return `${key}: this looks like a secret, and secrets don't belong in this file: set ANTHROPIC_API_KEY, OPENAI_API_KEY or STIGMER_LLM_API_KEY in the environment`;
  }
  const isGroup = ["llm", "llm.prices"].includes(pathOf(key).join("."));
  return isGroup
    ? `${key}: is a group: set one of its fields, such as ${key}.${key === "llm" ? "model" : "MODEL"}`
    : undefined;
}

/** Names and addresses are text, whatever they look like; all else is YAML. */
function typed(key: string, value: string): unknown {
  if (["provider", "model", "baseUrl"].includes(pathOf(key)[1] ?? "")) return value;
  try {
    return parse(value, { prettyErrors: false }) as unknown;
  } catch {
    return value;
  }
}

function remarksOf({ commentBefore, comment }: Document): string {
  return [commentBefore, comment]
    .filter((remark) => remark)
    .map((remark) => `${String(remark).replace(/^/gm, "#")}\n`)
    .join("\n");
}
