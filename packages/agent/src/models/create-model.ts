import type { BaseChatModel } from "@langchain/core/language_models/chat_models";
import type { AnthropicModelConfig, ModelConfig, OllamaModelConfig, OpenAiModelConfig } from "./model-config.ts";

/**
 * Retries of calls that no middleware sees (summaries of a long history). Those of the agent's own turns are the retry
 * middleware's, which switches these off.
 */
const clientRetries = 2;

/** Loads the provider's client, and no other. Base URLs are always given: the clients would read the environment. */
export async function createModel(config: ModelConfig): Promise<BaseChatModel> {
  switch (config.provider) {
    case "anthropic":
      return createAnthropic(config);
    case "openai":
      return createOpenAi(config);
    case "ollama":
      return createOllama(config);
  }
}

async function createAnthropic(config: AnthropicModelConfig): Promise<BaseChatModel> {
  const { ChatAnthropic } = await import("@langchain/anthropic");
  return new ChatAnthropic({
    model: config.model,
    apiKey: config.apiKey,
    anthropicApiUrl: config.baseUrl ?? "https://api.anthropic.com",
    maxTokens: config.maxTokens,
    temperature: config.temperature,
    maxRetries: clientRetries,
  });
}

async function createOpenAi(config: OpenAiModelConfig): Promise<BaseChatModel> {
  const { ChatOpenAI } = await import("@langchain/openai");
  // Never `streaming: true`: the client then counts tokens with a table that it fetches from the internet. Streaming
  // the graph streams the model without it.
  return new ChatOpenAI({
    model: config.model,
    apiKey: config.apiKey,
    configuration: { baseURL: config.baseUrl ?? "https://api.openai.com/v1" },
    maxTokens: config.maxTokens,
    temperature: config.temperature,
    maxRetries: clientRetries,
  });
}

async function createOllama(config: OllamaModelConfig): Promise<BaseChatModel> {
  const { ChatOllama } = await import("@langchain/ollama");
  return new ChatOllama({
    model: config.model,
    baseUrl: config.baseUrl ?? "http://localhost:11434",
    numPredict: config.maxTokens,
    temperature: config.temperature,
    maxRetries: clientRetries,
  });
}
