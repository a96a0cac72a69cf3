/** Which model answers, and how to reach it. Keys are given here and nowhere else: no environment is read. */
export type ModelConfig = AnthropicModelConfig | OpenAiModelConfig | OllamaModelConfig;

export type ModelProvider = ModelConfig["provider"];

interface CommonModelConfig {
  /** The provider's name of the model. */
  readonly model: string;
  /** The longest answer in tokens. Default: the provider's. */
  readonly maxTokens?: number;
  /** Default: the provider's. */
  readonly temperature?: number;
  /** How often a call is tried again after 408, 429, 5xx or a broken connection, with growing waits. Default 4. */
  readonly maxRetries?: number;
}

export interface AnthropicModelConfig extends CommonModelConfig {
  readonly provider: "anthropic";
  readonly apiKey: string;
  /** Default `https://api.anthropic.com`. */
  readonly baseUrl?: string;
}

export interface OpenAiModelConfig extends CommonModelConfig {
  readonly provider: "openai";
  readonly apiKey: string;
  /** With its version, for example `https://api.openai.com/v1`, the default. */
  readonly baseUrl?: string;
}

export interface OllamaModelConfig extends CommonModelConfig {
  readonly provider: "ollama";
  /** Default `http://localhost:11434`. */
  readonly baseUrl?: string;
}
