import { expect, test } from "vitest";
import type { LlmSection } from "./config-schema.ts";
import type { Environment } from "./environment.ts";
import { ConfigError } from "./problems.ts";
import { originOfModel, resolveModel, type ResolveModelOptions } from "./resolve-model.ts";

const resolve = (
  env: Record<string, string>,
  options: Partial<ResolveModelOptions> = {},
): ReturnType<typeof resolveModel> => resolveModel({ env, ollamaReachable: false, ...options });

const keys = { ANTHROPIC_API_KEY: "a-key", OPENAI_API_KEY: "o-key" };

test("the order of sources", () => {
  const file = { provider: "openai", model: "gpt-file" } as const;
  const env = { ...keys, STIGMER_LLM_PROVIDER: "anthropic", STIGMER_LLM_MODEL: "claude-env" };
  const all = { file, ollamaReachable: true };
  expect(resolve(env, { ...all, modelName: "ollama:mine" })).toMatchObject({ provider: "ollama", model: "mine" });
  expect(resolve(env, all)).toEqual({ provider: "anthropic", model: "claude-env", apiKey: "a-key" });
  expect(resolve(keys, all)).toEqual({ provider: "openai", model: "gpt-file", apiKey: "o-key" });
  expect(resolve(keys, { ollamaReachable: true })).toMatchObject({ provider: "anthropic", model: "claude-sonnet-4-5" });
  expect(resolve({ OPENAI_API_KEY: "o-key" }, { ollamaReachable: true })).toMatchObject({
    provider: "openai",
    model: "gpt-5.5",
  });
  expect(resolve({}, { ollamaReachable: true })).toEqual({
    provider: "ollama",
    model: "qwen2.5-coder:7b",
    baseUrl: "http://localhost:11434",
  });
  expect(resolve({})).toEqual({
    provider: "none",
    hint: expect.stringContaining("set ANTHROPIC_API_KEY or OPENAI_API_KEY"),
  });
});

test("the general key goes before the provider's own, but only to the provider it is for", () => {
  const env = { ...keys, STIGMER_LLM_PROVIDER: "anthropic", STIGMER_LLM_API_KEY: "general" };
  expect(resolve(env)).toMatchObject({ provider: "anthropic", apiKey: "general" });
  expect(resolve(env, { modelName: "gpt-5.5" })).toMatchObject({ provider: "openai", apiKey: "o-key" });
  expect(resolve({ STIGMER_LLM_API_KEY: "general" }, { file: { provider: "openai" } })).toMatchObject({
    apiKey: "general",
  });
});

test("a key that nobody says whose it is goes nowhere", () => {
  expect(resolve({ ...keys, STIGMER_LLM_API_KEY: "general" }, { ollamaReachable: true })).toEqual({
    provider: "none",
    hint: expect.stringContaining("set STIGMER_LLM_PROVIDER"),
  });
});

test("a provider that is asked for and has no key is not replaced by another", () => {
  expect(resolve({ STIGMER_LLM_PROVIDER: "openai", ANTHROPIC_API_KEY: "a-key" }, { ollamaReachable: true })).toEqual({
    provider: "none",
    hint: "The model gpt-5.5 is openai's, and there is no key for it: set OPENAI_API_KEY.",
  });
});

test("a provider that is not served here is told from a model of Ollama's", () => {
  const none = (name: string) => ({
    provider: "none",
    hint: expect.stringContaining(`no model provider "${name}" (known: anthropic, openai, ollama)`) as string,
  });
  expect(resolve(keys, { modelName: "google:gemini-3" })).toEqual(none("google"));
  expect(resolve(keys, { modelName: "antropic:claude-sonnet-4-5" })).toEqual(none("antropic"));
  expect(resolve({ ...keys, STIGMER_LLM_MODEL: "groq:llama-4" })).toEqual(none("groq"));
  expect(resolve({ ...keys, STIGMER_LLM_MODEL: "groq:llama-4" }, { modelName: "openai:o4" })).toMatchObject({
    provider: "openai",
    model: "o4",
  });
  expect(resolve(keys, { modelName: "qwen2.5-coder:7b" })).toMatchObject({ provider: "ollama" });
});

test("several names are resolved side by side", () => {
  const names = ["claude-sonnet-4.5", "openai:gpt-5", "ollama:qwen2.5-coder:7b", "o3"];
  expect(names.map((modelName) => resolve(keys, { modelName }))).toMatchObject([
    { provider: "anthropic", model: "claude-sonnet-4-5", apiKey: "a-key" },
    { provider: "openai", model: "gpt-5", apiKey: "o-key" },
    { provider: "ollama", model: "qwen2.5-coder:7b" },
    { provider: "openai", model: "o3", apiKey: "o-key" },
  ]);
});

test("Ollama that is asked for need not be reachable", () => {
  expect(resolve({ STIGMER_LLM_PROVIDER: "ollama", OLLAMA_BASE_URL: "http://gpu:11434" })).toEqual({
    provider: "ollama",
    model: "qwen2.5-coder:7b",
    baseUrl: "http://gpu:11434",
  });
});

test("a model's name may tell its provider, or leave it to the next source", () => {
  expect(resolve({ ...keys, STIGMER_LLM_MODEL: "openai:house" })).toMatchObject({ provider: "openai", model: "house" });
  expect(resolve({ ...keys, STIGMER_LLM_MODEL: "gpt-4.1" })).toMatchObject({ provider: "openai", model: "gpt-4.1" });
  expect(resolve({ ...keys, STIGMER_LLM_MODEL: "house" })).toMatchObject({ provider: "anthropic", model: "house" });
  expect(resolve({ ...keys, STIGMER_LLM_PROVIDER: "ollama", STIGMER_LLM_MODEL: "claude-like" })).toMatchObject({
    provider: "ollama",
    model: "claude-like",
  });
});

test("what the file says of one provider is not used for another", () => {
  const file = { provider: "ollama", model: "llama3", baseUrl: "http://gpu:1", maxTokens: 5, temperature: 1 } as const;
  expect(resolve({ ...keys, STIGMER_LLM_PROVIDER: "anthropic" }, { file })).toEqual({
    provider: "anthropic",
    model: "claude-sonnet-4-5",
    apiKey: "a-key",
  });
  expect(resolve(keys, { file })).toEqual({
    provider: "ollama",
    model: "llama3",
    baseUrl: "http://gpu:1",
    maxTokens: 5,
    temperature: 1,
  });
});

test("a base URL without a provider is never used", () => {
  expect(resolve(keys, { file: { baseUrl: "https://elsewhere.example.com" } })).not.toHaveProperty("baseUrl");
});

test("tuning and base URLs", () => {
  expect(
    resolve(
      { ...keys, STIGMER_LLM_TEMPERATURE: "0", STIGMER_LLM_MAX_TOKENS: "100", ANTHROPIC_BASE_URL: "http://proxy" },
      { file: { provider: "anthropic", maxTokens: 5 } },
    ),
  ).toEqual({
    provider: "anthropic",
    model: "claude-sonnet-4-5",
    apiKey: "a-key",
    baseUrl: "http://proxy",
    maxTokens: 100,
    temperature: 0,
  });
  expect(resolve({ ...keys, OPENAI_BASE_URL: "http://proxy" }, { modelName: "openai:" })).toMatchObject({
    baseUrl: "http://proxy",
  });
});

test("wrong values throw, those of other matters don't", () => {
  expect(() => resolve({ STIGMER_LLM_TEMPERATURE: "hot" })).toThrow(ConfigError);
  expect(() => resolve({ STIGMER_LLM_PROVIDER: "openai", STIGMER_LLM_MODEL: "ollama:x" })).toThrow("STIGMER_LLM_MODEL");
  expect(resolve({ ...keys, STIGMER_BACKEND_ENDPOINT: "nonsense" }).provider).toBe("anthropic");
});

test.each<[Environment, LlmSection, boolean, ReturnType<typeof originOfModel>]>([
  [{}, {}, false, undefined],
  [{}, {}, true, { provider: "OLLAMA_BASE_URL", model: "default" }],
  [{ OPENAI_API_KEY: "k" }, {}, true, { provider: "OPENAI_API_KEY", model: "default" }],
  [{ OPENAI_API_KEY: "k" }, { model: "house" }, false, { provider: "OPENAI_API_KEY", model: "llm.model" }],
  [{ OPENAI_API_KEY: "k" }, { provider: "anthropic" }, false, { provider: "llm.provider", model: "default" }],
  [{}, { model: "claude-x" }, false, { provider: "llm.model", model: "llm.model" }],
  [
    { STIGMER_LLM_MODEL: "gpt-5" },
    { model: "claude-x" },
    false,
    { provider: "STIGMER_LLM_MODEL", model: "STIGMER_LLM_MODEL" },
  ],
  // A model that the file names for one provider is none of another's.
  [
    { STIGMER_LLM_PROVIDER: "openai" },
    { model: "claude-x" },
    false,
    { provider: "STIGMER_LLM_PROVIDER", model: "default" },
  ],
])("with %j and %j it was decided by what is said", (env, file, ollamaReachable, origin) => {
  expect(originOfModel({ env, file, ollamaReachable })).toEqual(origin);
  const resolved = resolveModel({ env, file, ollamaReachable });
  // What is decided is decided by something.
  expect(origin === undefined).toBe(resolved.provider === "none" && resolved.hint.startsWith("No model is configured"));
});
