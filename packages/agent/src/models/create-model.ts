import type { CallbackHandlerMethods } from "@langchain/core/callbacks/base";
import type { BaseChatModel } from "@langchain/core/language_models/chat_models";
import type { BaseMessageChunk } from "@langchain/core/messages";
import type { OpenAIClient } from "@langchain/openai";
import { currentAttempt } from "./attempt.ts";
import { createModelFetch } from "./model-fetch.ts";
import type { AnthropicModelConfig, ModelConfig, OllamaModelConfig, OpenAiModelConfig } from "./model-config.ts";

/**
 * Retries of calls that no middleware sees (summaries of a long history). Those of the agent's own turns are the retry
 * middleware's, which switches these off.
 */
const clientRetries = 2;

/** Loads the provider's client, and no other. Base URLs are always given: the clients would read the environment. */
export async function createModel(config: ModelConfig, maxRetries: number = clientRetries): Promise<BaseChatModel> {
  switch (config.provider) {
    case "anthropic":
      return createAnthropic(config, maxRetries);
    case "openai":
      return createOpenAi(config, maxRetries);
    case "ollama":
      return createOllama(config, maxRetries);
  }
}

/** Notes under which id an answer streams, so that a half one can be taken back, and how it ended. */
const noteAnswer = {
  name: "noteAnswer",
  awaitHandlers: true,
  handleLLMNewToken(...[, , runId, , , fields]: NewToken): void {
    const attempt = currentAttempt();
    if (attempt === undefined) return;
    attempt.firstPieceAt ??= performance.now();
    const { message, generationInfo } = (fields?.chunk ?? {}) as StreamedChunk;
    // LangGraph's name for messages whose provider gives none.
    attempt.messageId ??= message?.id ?? `run-${runId}`;
    // Chat Completions' reason to stop stands beside the message, which does not keep it.
    attempt.finishReason ??= generationInfo?.finish_reason;
  },
};

interface StreamedChunk {
  readonly message?: { readonly id?: string };
  readonly generationInfo?: { readonly finish_reason?: string };
}

type NewToken = Parameters<NonNullable<CallbackHandlerMethods["handleLLMNewToken"]>>;

async function createAnthropic(config: AnthropicModelConfig, maxRetries: number): Promise<BaseChatModel> {
  const { ChatAnthropic } = await import("@langchain/anthropic");
  return new ChatAnthropic({
    model: config.model,
    apiKey: config.apiKey,
    anthropicApiUrl: config.baseUrl ?? "https://api.anthropic.com",
    clientOptions: { fetch: createModelFetch("anthropic") },
    maxTokens: config.maxTokens,
    temperature: config.temperature,
    maxRetries,
    callbacks: [noteAnswer],
  });
}

async function createOpenAi(config: OpenAiModelConfig, maxRetries: number): Promise<BaseChatModel> {
  const { ChatOpenAI, ChatOpenAICompletions } = await import("@langchain/openai");
  /** Keeps a streamed refusal, which the client drops: the answer would be an empty one. */
  class Completions extends ChatOpenAICompletions {
    protected override _convertCompletionsDeltaToBaseMessageChunk(
      delta: Record<string, unknown>,
      response: OpenAIClient.Chat.Completions.ChatCompletionChunk,
      role?: OpenAIClient.Chat.ChatCompletionRole,
    ): BaseMessageChunk {
      // oxlint-disable-next-line no-underscore-dangle -- LangChain's name; there is no other place that sees the refusal
      const chunk = super._convertCompletionsDeltaToBaseMessageChunk(delta, response, role);
      const { refusal } = delta;
      if (typeof refusal === "string") chunk.additional_kwargs["refusal"] = refusal;
      return chunk;
    }
  }
  // Never `streaming: true`: the client then counts tokens with a table that it fetches from the internet. Streaming
  // the graph streams the model without it.
  const fields = {
    model: config.model,
    apiKey: config.apiKey,
    configuration: { baseURL: config.baseUrl ?? "https://api.openai.com/v1", fetch: createModelFetch("openai") },
    maxTokens: config.maxTokens,
    temperature: config.temperature,
    maxRetries,
    callbacks: [noteAnswer],
  };
  return new ChatOpenAI({ ...fields, completions: new Completions(fields) });
}

async function createOllama(config: OllamaModelConfig, maxRetries: number): Promise<BaseChatModel> {
  const { ChatOllama } = await import("@langchain/ollama");
  return new ChatOllama({
    model: config.model,
    baseUrl: config.baseUrl ?? "http://localhost:11434",
    fetch: createModelFetch("ollama"),
    numPredict: config.maxTokens,
    temperature: config.temperature,
    maxRetries,
    callbacks: [noteAnswer],
  });
}
