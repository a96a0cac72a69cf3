import type { LlmSection } from "./config-schema.ts";
import type { Environment } from "./environment.ts";
import {
  defaultModels,
  type ModelName,
  modelProviders,
  type ModelProvider,
  parseModelName,
  providerOfModel,
} from "./model-name.ts";
import { ConfigError } from "./problems.ts";
import { readVariables, type Values } from "./read-variables.ts";

interface Tuning {
  /** Most tokens in one answer. Absent: the model's own limit. */
  readonly maxTokens?: number;
  /** Absent: the model's own. */
  readonly temperature?: number;
}

export interface HostedModel<P extends ModelProvider> extends Tuning {
  readonly provider: P;
  readonly model: string;
  readonly apiKey: string;
  /** Absent: the provider's own. */
  readonly baseUrl?: string;
}

export interface OllamaModel extends Tuning {
  readonly provider: "ollama";
  readonly model: string;
  readonly baseUrl: string;
}

/** The model to talk to, with all it takes; or that there is none, with what to do about it in `hint`. */
export type ResolvedModel =
  | HostedModel<"anthropic">
  | HostedModel<"openai">
  | OllamaModel
  | { readonly provider: "none"; readonly hint: string };

export interface ChooseModelOptions {
  /** The `llm` section of `config.yaml`. */
  readonly file?: LlmSection;
  /** Whether an Ollama answers at `OLLAMA_BASE_URL`. Only asked when nothing else names a model. */
  readonly ollamaReachable: boolean;
  /** The `model_name` of the execution, of its agent or of a sub-agent, which goes before everything else. */
  readonly modelName?: string;
}

export interface ResolveModelOptions extends ChooseModelOptions {
  readonly env: Environment;
}

/** The variables that choose a model. The same in both modes. */
export type ModelValues = Pick<
  Values<"local", "client">,
  Extract<keyof Values<"local", "client">, `STIGMER_LLM_${string}` | `${"ANTHROPIC" | "OPENAI" | "OLLAMA"}_${string}`>
>;

/**
 * Which model to use: the name that is asked for, `STIGMER_LLM_*`, `config.yaml`, `ANTHROPIC_API_KEY`, `OPENAI_API_KEY`, a
 * reachable Ollama, in this order. Each setting comes from the first that has it and is meant for the chosen provider: a
 * key, model or base URL given for one provider never goes to another. Throws `ConfigError` when a variable's value is wrong.
 */
export function resolveModel({ env, ...options }: ResolveModelOptions): ResolvedModel {
  const result = readVariables(onlyModels(env), { mode: "local", reader: "client" });
  if (!result.ok) throw new ConfigError(result.problems);
  return chooseModel(result.values, options);
}

/** What names the provider and the model: a variable, a setting of `config.yaml`, `modelName`, or `default`. */
export interface ModelOrigin {
  readonly provider: string;
  readonly model: string;
}

/** Where a decision of `resolveModel` comes from; undefined where nothing names a provider. */
export function originOfModel({ env, ...options }: ResolveModelOptions): ModelOrigin | undefined {
  const result = readVariables(onlyModels(env), { mode: "local", reader: "client" });
  if (!result.ok) throw new ConfigError(result.problems);
  const { values } = result;
  const { ofExecution, ofEnv, ofFile } = layersOf(values, options);
  const named = [
    { name: ofExecution, provider: "modelName", model: "modelName" },
    {
      name: ofEnv,
      provider: values.STIGMER_LLM_PROVIDER ? "STIGMER_LLM_PROVIDER" : "STIGMER_LLM_MODEL",
      model: "STIGMER_LLM_MODEL",
    },
    {
      name: ofFile,
      provider: options.file?.provider ? "llm.provider" : "llm.model",
      model: "llm.model",
    },
  ];
  const first = named.find(({ name }) => name.provider !== undefined);
  const found = available(values, options.ollamaReachable);
  const provider = first?.name.provider ?? found;
  if (provider === undefined) return undefined;
  const model = named.find(({ name }) => name.model !== undefined && [undefined, provider].includes(name.provider));
  return { provider: first?.provider ?? availableBy[provider], model: model?.model ?? "default" };
}

const availableBy: Readonly<Record<ModelProvider, string>> = {
  anthropic: "ANTHROPIC_API_KEY",
  openai: "OPENAI_API_KEY",
  ollama: "OLLAMA_BASE_URL",
};

interface Layers {
  readonly ofExecution: ModelName;
  readonly ofEnv: ModelName;
  readonly ofFile: ModelName;
}

/** Who may name a model, the first before the others. */
function layersOf(values: ModelValues, { file = {}, modelName }: ChooseModelOptions): Layers {
  return {
    ofExecution: layer(modelName),
    ofEnv: layer(values.STIGMER_LLM_MODEL, values.STIGMER_LLM_PROVIDER),
    ofFile: layer(file.model, file.provider),
  };
}

export function chooseModel(values: ModelValues, options: ChooseModelOptions): ResolvedModel {
  const { file = {} } = options;
  const { ofExecution, ofEnv, ofFile } = layersOf(values, options);

  const unknown = [ofExecution, ofEnv, ofFile].find((name) => name.model !== undefined)?.unknownProvider;
  if (unknown !== undefined) {
    const known = modelProviders.join(", ");
    const hint = `There is no model provider "${unknown}" (known: ${known}). Name a model as provider:model.`;
    return { provider: "none", hint };
  }
  const configured = ofEnv.provider ?? ofFile.provider;
  const provider = ofExecution.provider ?? configured ?? available(values, options.ollamaReachable);
  if (provider === undefined) return { provider: "none", hint: hintWithoutProvider(values) };

  const fits = (name: ModelName): boolean => name.provider === undefined || name.provider === provider;
  const model = [ofExecution, ofEnv, ofFile].find((name) => fits(name) && name.model !== undefined)?.model;
  const fromFile: LlmSection = fits(ofFile) ? file : {};
  const shared = {
    model: model ?? defaultModels[provider],
    ...definedTuning(
      values.STIGMER_LLM_MAX_TOKENS ?? fromFile.maxTokens,
      values.STIGMER_LLM_TEMPERATURE ?? fromFile.temperature,
    ),
  };
  const fileUrl = ofFile.provider === provider ? file.baseUrl : undefined;
  if (provider === "ollama") return { provider, baseUrl: fileUrl ?? values.OLLAMA_BASE_URL, ...shared };

  const own =
    provider === "anthropic"
      ? { keyName: "ANTHROPIC_API_KEY", key: values.ANTHROPIC_API_KEY, baseUrl: values.ANTHROPIC_BASE_URL }
      : { keyName: "OPENAI_API_KEY", key: values.OPENAI_API_KEY, baseUrl: values.OPENAI_BASE_URL };
  const apiKey = (provider === configured ? values.STIGMER_LLM_API_KEY : undefined) ?? own.key;
  if (apiKey === undefined) {
    return {
      provider: "none",
      hint: `The model ${shared.model} is ${provider}'s, and there is no key for it: set ${own.keyName}.`,
    };
  }
  const baseUrl = fileUrl ?? own.baseUrl;
  return { provider, apiKey, ...(baseUrl && { baseUrl }), ...shared } as
    | HostedModel<"anthropic">
    | HostedModel<"openai">;
}

function layer(name: string | undefined, provider?: ModelProvider): ModelName {
  const parsed = name === undefined ? {} : parseModelName(name);
  const inferred = parsed.unknownProvider === undefined && parsed.model && providerOfModel(parsed.model);
  const known = provider ?? parsed.provider ?? (inferred || undefined);
  return { ...parsed, ...(known && { provider: known }) };
}

function available(values: ModelValues, ollamaReachable: boolean): ModelProvider | undefined {
  // A key whose provider nobody names must not be passed over in silence.
  if (values.STIGMER_LLM_API_KEY !== undefined) return undefined;
  if (values.ANTHROPIC_API_KEY !== undefined) return "anthropic";
  if (values.OPENAI_API_KEY !== undefined) return "openai";
  return ollamaReachable ? "ollama" : undefined;
}

function hintWithoutProvider(values: ModelValues): string {
  return values.STIGMER_LLM_API_KEY === undefined
    ? `No model is configured: set ANTHROPIC_API_KEY or OPENAI_API_KEY, or start Ollama and run \`ollama pull ${defaultModels.ollama}\`.`
    : "STIGMER_LLM_API_KEY is set, but not whose key it is: set STIGMER_LLM_PROVIDER to anthropic or openai.";
}

function definedTuning(maxTokens: number | undefined, temperature: number | undefined): Tuning {
  return { ...(maxTokens !== undefined && { maxTokens }), ...(temperature !== undefined && { temperature }) };
}

// What is wrong with other variables is not for a question about models to report.
function onlyModels(env: Environment): Environment {
  return Object.fromEntries(
    Object.entries(env).filter(([name]) => /^(STIGMER_LLM|ANTHROPIC|OPENAI|OLLAMA)_/.test(name)),
  );
}
