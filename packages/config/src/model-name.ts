import { variables } from "./variables.ts";

/** Who serves a model. */
export type ModelProvider = (typeof variables.STIGMER_LLM_PROVIDER.format.values)[number];

export interface ModelName {
  /** Named by the prefix. Absent: the name has none. */
  readonly provider?: ModelProvider;
  /** Absent: the provider's default, from a name like `openai:`. */
  readonly model?: string;
  /** The prefix names a provider that is not served here; there is no `provider` then. */
  readonly unknownProvider?: string;
}

export const modelProviders: readonly ModelProvider[] = variables.STIGMER_LLM_PROVIDER.format.values;

/** Those that want a key. */
export const keyedProviders: readonly ["anthropic", "openai"] = ["anthropic", "openai"];

export type KeyedProvider = (typeof keyedProviders)[number];

/** The model of each provider when none is named. */
export const defaultModels: Readonly<Record<ModelProvider, string>> = {
  anthropic: "claude-sonnet-4-5",
  openai: "gpt-5.5",
  ollama: "qwen2.5-coder:7b",
};

/** Reads `model` or `provider:model`. A colon of the model's own (`qwen2.5-coder:7b`) stays; `claude-sonnet-4.5` is `claude-sonnet-4-5`. */
export function parseModelName(name: string): ModelName {
  const text = name.trim();
  const provider = modelProviders.find((known) => text.toLowerCase().startsWith(`${known}:`));
  const model = canonicalModel(provider === undefined ? text : text.slice(provider.length + 1).trim());
  const unknownProvider = provider === undefined ? unservedProvider(text) : undefined;
  if (unknownProvider !== undefined) return { unknownProvider, model };
  return { ...(provider && { provider }), ...(model !== "" && { model }) };
}

/** The provider that a model's bare name tells of, if it does. */
export function providerOfModel(model: string): ModelProvider | undefined {
  if (/^claude-/i.test(model)) return "anthropic";
  // Open-weight models of OpenAI's, which OpenAI itself doesn't serve.
  if (/^gpt-oss/i.test(model)) return "ollama";
  if (/^(gpt-|chatgpt-|o\d|ft:)/i.test(model)) return "openai";
  return model.includes(":") ? "ollama" : undefined;
}

/** Providers that people know from elsewhere. None of them is the name of a model that Ollama has. */
const unserved =
  /^(aws|aws_bedrock|azure|azure_openai|bedrock|bedrock_converse|cohere|fireworks|gemini|google|google_genai|google_vertexai|groq|huggingface|mistralai|nvidia|openrouter|perplexity|together|vertex|vertexai|xai)$/i;

/**
 * What stands before a colon is a provider or, with Ollama, the model itself, whose tag follows (`qwen2.5-coder:7b`). It is a
 * provider when it is called like one, or when what follows is no tag but another's model.
 */
function unservedProvider(text: string): string | undefined {
  const [, prefix = "", rest = ""] = /^([^:/]+):(.*)$/.exec(text) ?? [];
  if (prefix === "" || /^(ft|gpt-oss)$/i.test(prefix)) return undefined;
  const isModel = /[:/]/.test(rest) || /^(claude-|gpt-|chatgpt-|o\d(-|$))/i.test(rest);
  return unserved.test(prefix) || isModel ? prefix : undefined;
}

function canonicalModel(model: string): string {
  // Anthropic writes versions with a hyphen, people with a dot.
  return /^claude-/i.test(model) ? model.replace(/(\d)\.(\d)/g, "$1-$2") : model;
}
