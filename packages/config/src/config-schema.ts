import { distance } from "fastest-levenshtein";
import { z } from "zod";
import {
  type KeyedProvider,
  keyedProviders,
  modelProviders,
  type ModelProvider,
  parseModelName,
  providerOfModel,
} from "./model-name.ts";
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
  /** Whose key the OS keychain of this machine keeps. It is asked for these, and for no other. */
  readonly keychain?: readonly KeyedProvider[];
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

const llmFields = {
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
  keychain: z
    .array(z.enum(keyedProviders))
    .describe("The providers whose key `stigmer config key set` put into the OS keychain.")
    .optional(),
} satisfies Record<string, z.ZodType>;

const llmSection = z
  .strictObject(llmFields)
  .refine((llm) => llm.baseUrl === undefined || providerIn(llm) !== undefined, {
    path: ["baseUrl"],
    error: "a base URL is one provider's: name it in provider",
  })
  .describe("The default model, for when no STIGMER_LLM_* variable says otherwise.");

/** What `config.yaml` may hold. Its JSON Schema is `config.schema.json`. */
export const configFileSchema: z.ZodType<ConfigFile> = z
  .strictObject({ llm: llmSection.optional() })
  .describe("Stigmer's config.yaml");

function providerIn(llm: LlmSection): ModelProvider | undefined {
  if (llm.provider !== undefined) return llm.provider;
  const { provider, model } = parseModelName(llm.model ?? "");
  return provider ?? providerOfModel(model ?? "");
}

/** What is said of a field that is not in the schema. `path` is in camelCase. */
export function unknownField(path: readonly PropertyKey[]): string {
  const name = String(path.at(-1));
  const said = `${path.join(".")}: `;
  if (/key|token|secret|password/i.test(name) && !name.startsWith("max")) {
    return `${said}secrets don't belong in this file: remove it, and set ANTHROPIC_API_KEY, OPENAI_API_KEY or STIGMER_LLM_API_KEY`;
  }
  const known = fieldsAt(path.length - 1);
  const meant = nearest(name, known);
  const advice = meant ? `did you mean ${meant}?` : `there ${known.length === 1 ? "is" : "are"} ${known.join(", ")}`;
  return `${said}there is no such field: ${advice}`;
}

/** The fields of `llm`, with their meaning. */
export const llmMeanings: Readonly<Record<string, string>> = Object.fromEntries(
  Object.entries(llmFields).map(([name, field]) => [name, field.unwrap().description ?? ""]),
);

/** The names of fields at a depth; at that of the models' own names none. */
export function fieldsAt(depth: number): readonly string[] {
  return [["llm"], Object.keys(llmFields), [], Object.keys(modelPrice.shape)][depth] ?? [];
}

function nearest(name: string, known: readonly string[]): string | undefined {
  const edits = (candidate: string): number => distance(name.toLowerCase(), candidate.toLowerCase());
  return known
    .filter((candidate) => edits(candidate) <= Math.round(name.length * 0.4))
    .toSorted((a, b) => edits(a) - edits(b))[0];
}

/** As the schema writes a name. */
export function camelCase(key: string): string {
  return key.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
}
