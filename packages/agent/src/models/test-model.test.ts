import { startScriptedModel, type ScriptedModel } from "@stigmer/scripted-model";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { ModelConfig } from "./model-config.ts";
import { testModel } from "./test-model.ts";

let server: ScriptedModel;
beforeAll(async () => {
  server = await startScriptedModel({
    scenario: {
      name: "test",
      scenarios: [
        { name: "overloaded", match: { model: "busy" }, turns: [{ error: { reason: "overloaded" } }] },
        { name: "bad key", match: { model: "locked" }, turns: [{ error: { reason: "bad-key" } }] },
        { name: "answers", turns: [{ text: "ready" }] },
      ],
    },
  });
});
afterAll(() => server.close());

const configs = (model: string): ModelConfig[] => [
  { provider: "anthropic", apiKey: "k", baseUrl: server.url, model },
  { provider: "openai", apiKey: "k", baseUrl: `${server.url}/v1`, model },
  { provider: "ollama", baseUrl: server.url, model },
];
const names = ["anthropic", "openai", "ollama"].map((name, at) => [name, at] as const);

it.each(names)("a model of %s answers", async (_, at) => {
  const { latencyMs } = await testModel(configs("any")[at] as ModelConfig);
  expect(latencyMs).toBeGreaterThanOrEqual(0);
});

it.each(names)("one of %s that refuses is told as a run tells it, after one request", async (_, at) => {
  const before = server.requests.length;
  await expect(testModel(configs("locked")[at] as ModelConfig)).rejects.toMatchObject({ code: "model-auth" });
  await expect(testModel(configs("busy")[at] as ModelConfig)).rejects.toMatchObject({ code: "model-overloaded" });
  expect(server.requests.length - before).toBe(2);
});

it("is given up with its signal", async () => {
  const signal = AbortSignal.abort(new Error("enough"));
  await expect(testModel(configs("any")[0] as ModelConfig, { signal })).rejects.toThrow("enough");
});
