import { readFileSync, statSync } from "node:fs";
import { type Document, isMap, isNode, isScalar, LineCounter, parseDocument } from "yaml";
import { z } from "zod";
import { modelProviders, type ModelProvider, parseModelName, providerOfModel } from "./model-name.ts";
import type { ConfigProblem } from "./problems.ts";
import { variables } from "./variables.ts";

/** The default model, for when no `STIGMER_LLM_*` variable says otherwise. Keys stay in the environment. */
export interface LlmSection {
  readonly provider?: ModelProvider;
  readonly model?: string;
  readonly baseUrl?: string;
  readonly maxTokens?: number;
  readonly temperature?: number;
  /** What models cost, by the beginning of their names; for the estimated cost of runs. */
  readonly prices?: Readonly<Record<string, ModelPrice>>;
}

/** US dollars for a million tokens. */
export interface ModelPrice {
  readonly input: number;
  readonly output: number;
  /** Input that the provider had cached. Default: as `input`. */
  readonly cachedInput?: number;
  /** Input that the provider puts into its cache. Default: as `input`. */
  readonly cacheWrite?: number;
}

/** `<STIGMER_HOME>/config.yaml`. */
export interface ConfigFile {
  readonly llm?: LlmSection;
}

export type ConfigFileResult =
  | { readonly ok: true; readonly file: ConfigFile }
  | { readonly ok: false; readonly problems: readonly ConfigProblem[] };

const { min: coolest, max: hottest } = variables.STIGMER_LLM_TEMPERATURE.format;

// A number past which it is surely meant otherwise, such as for a single token.
const dollars = z.number().min(0).max(100_000);

const modelPrice = z.strictObject({
  input: dollars.describe("For a million tokens of input, in US dollars."),
  output: dollars.describe("For a million tokens of output."),
  cachedInput: dollars
    .describe("For a million tokens of input that the provider had cached. Default: as input.")
    .optional(),
  cacheWrite: dollars
    .describe("For a million tokens that the provider puts into its cache. Default: as input.")
    .optional(),
});

const llmSection = z
  .strictObject({
    provider: z.enum(modelProviders).describe("The provider of the default model.").optional(),
    model: z.string().min(1).describe("The default model: `model`, or `provider:model`.").optional(),
    baseUrl: z
      .url({ protocol: /^https?$/ })
      .describe("Where the provider's API is reached.")
      .optional(),
    maxTokens: z
      .int()
      .min(variables.STIGMER_LLM_MAX_TOKENS.format.min)
      .describe("Most tokens that a model may answer with in one turn.")
      .optional(),
    temperature: z.number().min(coolest).max(hottest).describe("Sampling temperature.").optional(),
    prices: z
      .record(z.string().min(1), modelPrice)
      .describe("What models cost, by the beginning of their names, before the list prices that are built in.")
      .optional(),
  })
  .refine((llm) => llm.baseUrl === undefined || providerIn(llm) !== undefined, {
    path: ["baseUrl"],
    error: "a base URL is one provider's: name it in provider",
  })
  .describe("The default model, for when no STIGMER_LLM_* variable says otherwise.");

/** What `config.yaml` may hold. Its JSON Schema is `config.schema.json`. */
export const configFileSchema: z.ZodType<ConfigFile> = z
  .strictObject({ llm: llmSection.optional() })
  .describe("Stigmer's config.yaml");

const maxBytes = 256 * 1024;

/** Reads and checks `config.yaml`. A file that is not there is an empty one. */
export function readConfigFile(path: string): ConfigFileResult {
  try {
    if (statSync(path).size > maxBytes) return refuse(path, `is larger than ${maxBytes} bytes`);
    return parseConfigFile(readFileSync(path, "utf8"), path);
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

function providerIn(llm: LlmSection): ModelProvider | undefined {
  if (llm.provider !== undefined) return llm.provider;
  const { provider, model } = parseModelName(llm.model ?? "");
  return provider ?? providerOfModel(model ?? "");
}

function unknownField(path: readonly PropertyKey[]): string {
  const isSecret = /key|token|secret|password/i.test(String(path.at(-1))) && path.at(-1) !== "maxTokens";
  const fields = path.length === 2 ? llmSection.shape : modelPrice.shape;
  const known = path.length === 1 ? ["llm"] : Object.keys(fields);
  const advice = isSecret
    ? "secrets don't belong in this file: remove it, and set ANTHROPIC_API_KEY, OPENAI_API_KEY or STIGMER_LLM_API_KEY"
    : `there is no such field: there ${known.length === 1 ? "is" : "are"} ${known.join(", ")}`;
  return `${path.join(".")}: ${advice}`;
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

function camelCase(key: string): string {
  return key.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
}

function problemAt(path: string, position: { line: number; col: number } | undefined, message: string): ConfigProblem {
  if (position === undefined) return { code: "bad-file", path, message: `${path}: ${message}` };
  const { line, col: column } = position;
  return { code: "bad-file", path, line, column, message: `${path}:${line}:${column}: ${message}` };
}

function refuse(path: string, message: string): ConfigFileResult {
  return { ok: false, problems: [{ code: "bad-file", path, message: `${path} ${message}` }] };
}
