import { expect, test } from "vitest";
import { configSettings, problemOfKey, readSetting, setSetting, unsetSetting } from "./edit-config-file.ts";

const file = "config.yaml";

function set(text: string, key: string, value: string): string {
  const result = setSetting(text, { file, key, value });
  return result.ok ? result.text : result.problems.map(({ message }) => message).join("\n");
}

function unset(text: string, key: string): string {
  const result = unsetSetting(text, { file, key });
  return result.ok ? result.text : result.problems.map(({ message }) => message).join("\n");
}

const written = `# Ours, for all machines.
llm:
  # It is fast.
  provider: ollama # and free
  max_tokens: 100
  prices: { my-model: { input: 1, output: 2 } }
`;

test("a file is made with its schema named", () => {
  const head = "# yaml-language-server: $schema=https://unpkg.com/@stigmer/config/config.schema.json\n";
  expect(set("", "llm.model", "claude-sonnet-4-5")).toBe(`${head}\nllm:\n  model: claude-sonnet-4-5\n`);
});

test("all that is not the setting stays as it is written", () => {
  expect(set(written, "llm.provider", "openai")).toBe(written.replace("ollama #", "openai #"));
  // The spelling is the file's, whichever the key has.
  for (const key of ["llm.maxTokens", "llm.max_tokens"])
    expect(set(written, key, "200")).toBe(written.replace("100", "200"));
  expect(set(written, "llm.temperature", "0.5")).toBe(`${written}  temperature: 0.5\n`);
  expect(set("llm:\n", "llm.model", "m")).toBe("llm:\n  model: m\n");
  expect(set("# mine\n", "llm.model", "m")).toBe("# mine\n\nllm:\n  model: m\n");
});

test("names and addresses are text, numbers are numbers", () => {
  expect(set("", "llm.model", "123")).toMatch(/model: "123"/);
  expect(set("", "llm.model", "qwen2.5-coder:7b")).toMatch(/model: qwen2.5-coder:7b\n/);
  expect(set("", "llm.maxTokens", "12x")).toBe("llm.maxTokens: Invalid input: expected number, received string");
});

test("the names of models may hold dots and underscores", () => {
  const once = set("", "llm.prices.my_gpt-5.5", "{ input: 1, output: 4 }");
  expect(readSetting(once, "llm.prices.my_gpt-5.5")).toEqual({ input: 1, output: 4 });
  const twice = set(once, "llm.prices.my_gpt-5.5.cachedInput", "0.1");
  expect(readSetting(twice, "llm.prices.my_gpt-5.5.cached_input")).toBe(0.1);
  expect(readSetting(twice, "llm.prices")).toEqual({ "my_gpt-5.5": { input: 1, output: 4, cachedInput: 0.1 } });
  expect(set("", "llm.prices.m.input", "1")).toMatch(/llm\.prices\.m\.output: .*received undefined$/);
});

test.each([
  ["llm.modle", "llm.modle: there is no such field: did you mean model?"],
  ["lm.model", "lm: there is no such field: did you mean llm?"],
  [
    "llm.colour",
    "llm.colour: there is no such field: there are provider, model, baseUrl, maxTokens, temperature, prices, keychain",
  ],
  ["llm.model.name", "llm.model.name: llm.model has nothing below it"],
  ["llm.apiKey", /^llm\.apiKey: secrets don't belong in this file: .*ANTHROPIC_API_KEY/],
])("of the key %s is said %s", (key, says) => {
  expect(problemOfKey(key)).toMatch(says);
});

test.each(["llm", "llm.model", "llm.max_tokens", "llm.prices", "llm.prices.gpt-5.5", "llm.prices.m.cached_input"])(
  "%s is a key",
  (key) => {
    expect(problemOfKey(key)).toBeUndefined();
  },
);

test("a secret is refused by its name and by its looks, and not repeated", () => {
  for (const [key, value] of [
    ["llm.api_key", "hush-hush"],
    ["llm.model", "sk-ant-hush-hush"],
  ] as const) {
    const said = set("", key, value);
    expect(said).toMatch(/secrets don't belong in this file/);
    expect(said).not.toContain("hush");
  }
});

test("a group is not set as a whole", () => {
  expect(set("", "llm", "x")).toMatch(/^llm: is a group: set one of its fields/);
  expect(set("", "llm.prices", "{}")).toMatch(/^llm\.prices: is a group/);
});

test("what would not be valid, and what can't be read, is refused", () => {
  expect(set("", "llm.provider", "bedrock")).toMatch(/llm\.provider: Invalid option/);
  expect(set("", "llm.baseUrl", "https://x.example.com")).toMatch(/name it in provider$/);
  for (const change of [(text: string) => set(text, "llm.model", "m"), (text: string) => unset(text, "llm.model")]) {
    expect(change("llm: [\n")).toMatch(/^config\.yaml:2:1: /);
    expect(change("- a\n")).toMatch(/expected object, received array$/);
  }
});

test("unset takes a setting, the groups that it leaves empty, and nothing else", () => {
  expect(unset(written, "llm.maxTokens")).toBe(written.replace("  max_tokens: 100\n", ""));
  expect(unset(written, "llm.prices.my-model")).toBe(written.replace(/ {2}prices.*\n/, ""));
  expect(unset("# mine\n\nllm: { model: m }\n", "llm.model")).toBe("# mine\n");
  expect(unset("llm: { model: m }\n", "llm")).toBe("");
  expect(unset(written, "llm.baseUrl")).toBe(written);
  // A mistake can be taken out, one at a time.
  expect(unset("llm:\n  apiKey: x\n  modle: m\n", "llm.apiKey")).toBe("llm:\n  modle: m\n");
});

test("every setting has a meaning, and those that a variable goes before name it", () => {
  expect(configSettings.map(({ key, variable }) => [key, variable])).toEqual([
    ["llm.provider", "STIGMER_LLM_PROVIDER"],
    ["llm.model", "STIGMER_LLM_MODEL"],
    ["llm.baseUrl", undefined],
    ["llm.maxTokens", "STIGMER_LLM_MAX_TOKENS"],
    ["llm.temperature", "STIGMER_LLM_TEMPERATURE"],
    ["llm.prices.<model>", undefined],
    ["llm.keychain", undefined],
  ]);
  for (const { meaning } of configSettings) expect(meaning).not.toBe("");
});
