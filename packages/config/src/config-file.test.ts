import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test, vi } from "vitest";
import { parseConfigFile, readConfigFile } from "./config-file.ts";

const messages = (text: string): string[] => {
  const result = parseConfigFile(text, "config.yaml");
  return result.ok ? [] : result.problems.map((problem) => problem.message);
};

test("a file that is not there is an empty one, and so is an empty one", () => {
  expect(readConfigFile("/nowhere/config.yaml")).toEqual({ ok: true, file: {} });
  expect(parseConfigFile("# nothing\n", "c")).toEqual({ ok: true, file: {} });
});

test("a file is read again when it has changed, and only then", () => {
  const folder = mkdtempSync(join(tmpdir(), "config-file-"));
  const path = join(folder, "config.yaml");
  const modelIn = () => {
    const result = readConfigFile(path);
    return { result, model: result.ok ? result.file.llm?.model : result.problems };
  };
  try {
    writeFileSync(path, "llm: { model: one }");
    const young = modelIn();
    expect(young.model).toBe("one");
    // Two changes in a moment can bear the same time: what is young is not relied upon.
    expect(modelIn().result).not.toBe(young.result);
    vi.useFakeTimers({ toFake: ["Date"], now: Date.now() + 60_000 });
    const settled = modelIn();
    expect(modelIn().result).toBe(settled.result);
    writeFileSync(path, "llm: { model: two }");
    expect(modelIn().model).toBe("two");
    rmSync(path);
    expect(modelIn()).toEqual({ result: { ok: true, file: {} }, model: undefined });
    writeFileSync(path, "llm: { model: one }");
    expect(modelIn().model).toBe("one");
  } finally {
    vi.useRealTimers();
    rmSync(folder, { recursive: true });
  }
});

test("camelCase and snake_case are the same", () => {
  const llm = { provider: "ollama", model: "llama3", baseUrl: "http://gpu:11434", maxTokens: 9, temperature: 0.5 };
  const camel = "llm: { provider: ollama, model: llama3, baseUrl: http://gpu:11434, maxTokens: 9, temperature: 0.5 }";
  expect(parseConfigFile(camel, "c")).toEqual({ ok: true, file: { llm } });
  expect(parseConfigFile(camel.replace("baseUrl", "base_url").replace("maxTokens", "max_tokens"), "c")).toEqual({
    ok: true,
    file: { llm },
  });
});

test("all problems at once, each with its line and column", () => {
  expect(messages("llm:\n  provider: bedrock\n  max_tokens: none\n  colour: red\nother: 1\n")).toEqual([
    'config.yaml:2:3: llm.provider: Invalid option: expected one of "anthropic"|"openai"|"ollama"',
    "config.yaml:3:3: llm.maxTokens: Invalid input: expected number, received string",
    "config.yaml:4:3: llm.colour: there is no such field: there are provider, model, baseUrl, maxTokens, temperature, prices, keychain",
    "config.yaml:5:1: other: there is no such field: there is llm",
  ]);
  expect(messages("- a\n")).toEqual(["config.yaml:1:1: the file: Invalid input: expected object, received array"]);
});

test("prices keep the names of models as they are written", () => {
  const text =
    "llm:\n  prices:\n    my_model: { input: 1, output: 4, cached_input: 0.1 }\n    prices: { input: 0, output: 0 }\n";
  const prices = { my_model: { input: 1, output: 4, cachedInput: 0.1 }, prices: { input: 0, output: 0 } };
  expect(parseConfigFile(text, "c")).toEqual({ ok: true, file: { llm: { prices } } });
  const bad =
    "llm:\n  prices:\n    my_model: { input: -1, output: 4 }\n    b: { input: 1 }\n    c: { input: 1, output: 1, per: 1 }\n";
  expect(messages(bad)).toEqual([
    "config.yaml:3:17: llm.prices.my_model.input: Too small: expected number to be >=0",
    "config.yaml:4:5: llm.prices.b.output: Invalid input: expected number, received undefined",
    "config.yaml:5:31: llm.prices.c.per: there is no such field: there are input, output, cachedInput, cacheWrite",
  ]);
});

test("a secret in the file is refused without being repeated", () => {
  for (const text of ["llm:\n  api_key: canary\n", "llm: {apiKey: canary, ]"]) {
    const found = messages(text);
    expect(found).not.toEqual([]);
    expect(found.join()).not.toContain("canary");
  }
  expect(messages("llm:\n  api_key: canary\n")).toEqual([
    "config.yaml:2:3: llm.apiKey: secrets don't belong in this file: remove it, and set ANTHROPIC_API_KEY, OPENAI_API_KEY or STIGMER_LLM_API_KEY",
  ]);
});

test("a field written both ways is refused", () => {
  expect(messages("llm:\n  maxTokens: 1\n  max_tokens: 2\n")).toHaveLength(1);
});

test("a base URL needs a provider, which a model may name", () => {
  expect(messages("llm:\n  baseUrl: https://x.example.com\n")).toEqual([
    "config.yaml:2:3: llm.baseUrl: a base URL is one provider's: name it in provider",
  ]);
  expect(messages("llm:\n  baseUrl: https://x.example.com\n  model: claude-x\n")).toEqual([]);
});

test("what is no YAML, and what expands to too much", () => {
  expect(messages("llm: [\n")).toEqual([expect.stringMatching(/^config\.yaml:2:1: /)]);
  expect(messages("llm: [\n  provider: : anthropic\n")).toEqual([expect.stringMatching(/^config\.yaml:2:13: /)]);
  const bomb = Array.from({ length: 10 }, (_, i) => `a${i}: &a${i} [${`${i ? `*a${i - 1}` : "x"},`.repeat(9)}]`).join(
    "\n",
  );
  expect(messages(bomb)).toEqual(["config.yaml can't be read: its aliases are unresolved, or expand to too much"]);
});

test("what is too large, and what is no file", () => {
  const folder = mkdtempSync(join(tmpdir(), "stigmer-config-"));
  try {
    const path = join(folder, "config.yaml");
    writeFileSync(path, `#${"x".repeat(256 * 1024)}`);
    expect(readConfigFile(path)).toMatchObject({ problems: [{ message: `${path} is larger than 262144 bytes` }] });
    expect(readConfigFile(folder)).toMatchObject({ problems: [{ message: `${folder} can't be read (EISDIR)` }] });
    expect(readConfigFile(join(path, "config.yaml"))).toEqual({ ok: true, file: {} });
    writeFileSync(path, "llm:\n  model: house\n");
    expect(readConfigFile(path)).toEqual({ ok: true, file: { llm: { model: "house" } } });
  } finally {
    rmSync(folder, { recursive: true });
  }
});
