import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startScriptedModel, type ScriptedModel } from "@stigmer/scripted-model";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { startCli } from "../../__fixtures__/local-server.ts";

let server: ScriptedModel;
let home: string;
beforeAll(async () => {
  home = mkdtempSync(join(tmpdir(), "stigmer-model-"));
  server = await startScriptedModel({
    scenario: {
      name: "models",
      models: ["qwen2.5-coder:7b", "llama3.2:latest"],
      scenarios: [
        { name: "bad key", match: { model: "locked" }, turns: [{ error: { reason: "bad-key" } }] },
        { name: "answers", turns: [{ text: "ready" }] },
      ],
    },
  });
});
afterAll(async () => {
  await server.close();
  rmSync(home, { recursive: true });
});
beforeEach(() => rmSync(join(home, "config.yaml"), { force: true }));

/** The discard port: no Ollama is there. */
const none = { OLLAMA_BASE_URL: "http://127.0.0.1:9" };
const model = (
  args: readonly string[],
  env: Record<string, string>,
): Promise<{ code: number; out: string; err: string }> =>
  startCli(["model", ...args], { env: { STIGMER_HOME: home, ...env } }).done;

test("without anything, what is missing is said for each provider", async () => {
  const { code, out, err } = await model(["list"], none);
  expect({ code, err }).toEqual({ code: 0, err: "" });
  expect(out).toMatch(/^anthropic +no .*set ANTHROPIC_API_KEY/m);
  expect(out).toMatch(/^openai +no .*set OPENAI_API_KEY/m);
  expect(out).toMatch(/^ollama:qwen2\.5-coder:7b +no +Ollama does not answer at http:\/\/127\.0\.0\.1:9: start it/m);
  expect(out).toMatch(/\n\nNo model is configured: set ANTHROPIC_API_KEY[^\n]*\n$/);
  expect(await model(["test"], none)).toMatchObject({
    code: 1,
    err: expect.stringMatching(/^No model is configured: [^\n]*\n$/),
  });
});

test("the default is told with what decided about it", async () => {
  const env = { ANTHROPIC_API_KEY: "hush", OLLAMA_BASE_URL: server.url };
  const listed = await model(["list"], env);
  expect(listed.out).toMatch(/^anthropic:claude-sonnet-4-5 +yes +the default; has a key$/m);
  expect(listed.out).toMatch(/^ollama:llama3\.2:latest +yes +pulled at http/m);
  expect(listed.out).toMatch(/\nDefault: anthropic:claude-sonnet-4-5, decided by ANTHROPIC_API_KEY\.\n$/);
  expect(listed.out).not.toContain("hush");

  writeFileSync(join(home, "config.yaml"), "llm: { model: llama3.2, provider: ollama }\n");
  const { out } = await model(["list", "--json"], env);
  expect(JSON.parse(out)).toMatchObject({
    default: { name: "ollama:llama3.2", provider: "llm.provider", model: "llm.model" },
    hint: "",
    models: expect.arrayContaining([
      { name: "ollama:llama3.2", usable: true, reason: `pulled at ${server.url}`, default: true },
    ]),
  });
  expect((await model(["list"], { ...env, STIGMER_LLM_MODEL: "claude-x" })).out).toMatch(
    /Default: anthropic:claude-x, decided by STIGMER_LLM_MODEL\.\n$/,
  );
  expect((await model(["list"], { OLLAMA_BASE_URL: server.url, STIGMER_LLM_MODEL: "mistral:7b" })).out).toMatch(
    /\nOllama has no mistral:7b: run `ollama pull mistral:7b`, or `stigmer config set llm\.model ollama:qwen2\.5-coder:7b`\.\n$/,
  );
});

test.each([
  ["anthropic:claude-sonnet-4-5", (url: string) => ({ ANTHROPIC_API_KEY: "k", ANTHROPIC_BASE_URL: url })],
  ["openai:gpt-5.5", (url: string) => ({ OPENAI_API_KEY: "k", OPENAI_BASE_URL: `${url}/v1` })],
  ["ollama:qwen2.5-coder:7b", (url: string) => ({ OLLAMA_BASE_URL: url })],
])("%s is asked, and told how long it took", async (name, env) => {
  const calls = (): number => server.requests.filter(({ path }) => path !== "/api/tags").length;
  const asked = calls();
  expect(await model(["test"], { ...none, ...env(server.url) })).toEqual({
    code: 0,
    out: expect.stringMatching(new RegExp(`^${name.replaceAll(".", "\\.")} answered in \\d+\\.\\d s\\.\n$`)),
    err: "",
  });
  expect(calls() - asked).toBe(1);
  const { out } = await model(["test", name, "--json"], { ...none, ...env(server.url) });
  expect(JSON.parse(out)).toEqual({ name, ok: true, latencyMs: expect.any(Number) });
});

test("what is wrong is one line, the one of a run", async () => {
  const env = { ...none, ANTHROPIC_API_KEY: "sk-hush", ANTHROPIC_BASE_URL: server.url };
  const refused = await model(["test", "anthropic:locked"], env);
  expect(refused).toMatchObject({ code: 1, out: "" });
  expect(refused.err).toMatch(/^Model locked \(anthropic\) refused the credentials: [^\n]*ANTHROPIC_API_KEY[^\n]*\n$/);
  expect(refused.err).not.toContain("hush");
  const json = await model(["test", "anthropic:locked", "--json"], env);
  expect([json.code, JSON.parse(json.out)]).toEqual([
    1,
    { name: "anthropic:locked", ok: false, error: refused.err.trimEnd() },
  ]);
  const away = await model(["test"], { ...env, ANTHROPIC_BASE_URL: "http://127.0.0.1:9" });
  expect(away).toMatchObject({ code: 1, err: expect.stringMatching(/can't be reached at http:\/\/127[^\n]*\n$/) });
  expect(await model(["test", "gemini:gemini-3"], env)).toMatchObject({
    code: 1,
    err: expect.stringMatching(/^There is no model provider "gemini" \(known: /),
  });
  expect((await model(["test", "ollama:nowhere"], { OLLAMA_BASE_URL: server.url })).err).toMatch(
    /^Ollama has no nowhere: /,
  );
});
