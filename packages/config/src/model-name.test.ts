import { expect, test } from "vitest";
import { parseModelName, providerOfModel } from "./model-name.ts";

test.each([
  ["claude-sonnet-4-5", { model: "claude-sonnet-4-5" }],
  ["claude-sonnet-4.5", { model: "claude-sonnet-4-5" }],
  ["anthropic:claude-sonnet-4.5", { provider: "anthropic", model: "claude-sonnet-4-5" }],
  ["OpenAI:gpt-4.1", { provider: "openai", model: "gpt-4.1" }],
  ["qwen2.5-coder:7b", { model: "qwen2.5-coder:7b" }],
  ["ollama:qwen2.5-coder:7b", { provider: "ollama", model: "qwen2.5-coder:7b" }],
  [" openai: ", { provider: "openai" }],
  ["", {}],
  ["hf.co/bartowski/Llama-3.2-3B-GGUF:Q4_K_M", { model: "hf.co/bartowski/Llama-3.2-3B-GGUF:Q4_K_M" }],
  ["ft:gpt-4o:acme", { model: "ft:gpt-4o:acme" }],
  ["google:gemini-3", { unknownProvider: "google", model: "google:gemini-3" }],
  ["antropic:claude-sonnet-4-5", { unknownProvider: "antropic", model: "antropic:claude-sonnet-4-5" }],
  ["groq:meta/llama", { unknownProvider: "groq", model: "groq:meta/llama" }],
])("%j", (name, expected) => {
  expect(parseModelName(name)).toEqual(expected);
});

test.each([
  ["claude-opus-4-5", "anthropic"],
  ["gpt-5.5", "openai"],
  ["o4-mini", "openai"],
  ["ft:gpt-4o:acme", "openai"],
  ["gpt-oss:20b", "ollama"],
  ["llama3:8b", "ollama"],
  ["house-model", undefined],
])("%s is %s's", (model, provider) => {
  expect(providerOfModel(model)).toBe(provider);
});
