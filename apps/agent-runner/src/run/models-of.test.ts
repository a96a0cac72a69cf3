import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { resolveHome, resolveModel } from "@stigmer/config";
import { expect, it, onTestFinished } from "vitest";
import { modelsOf } from "./models-of.ts";

const nobody = "http://127.0.0.1:9";

async function startOllama(...names: string[]): Promise<{ url: string; asked: string[] }> {
  const asked: string[] = [];
  const server = createServer((request, response) => {
    asked.push(request.url ?? "");
    response.end(JSON.stringify({ models: names.map((name) => ({ name })) }));
  }).listen(0, "127.0.0.1");
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  await new Promise((listening) => server.once("listening", listening));
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, asked };
}

function models(ollamaBaseUrl: string): ReturnType<typeof modelsOf> {
  const env = { ANTHROPIC_API_KEY: "key", OLLAMA_BASE_URL: ollamaBaseUrl };
  return modelsOf({
    homes: resolveHome({ STIGMER_HOME: "/nowhere" }),
    ollamaBaseUrl,
    resolveModel: (options) => resolveModel({ env, ...options }),
  });
}

it("takes a model with a tag when Ollama has it", async () => {
  const { url } = await startOllama("qwen2.5-coder:7b", "hf.co/house/Model-GGUF:Q4_K_M");
  const choose = models(url);
  expect(await choose("qwen2.5-coder:7b")).toEqual({ provider: "ollama", model: "qwen2.5-coder:7b", baseUrl: url });
  expect(await choose("hf.co/house/model-gguf:q4_k_m")).toMatchObject({ provider: "ollama" });
});

it("refuses a model with a tag that Ollama doesn't have: it may be meant for a provider that there is not", async () => {
  const { url } = await startOllama("qwen2.5-coder:7b");
  await expect(models(url)("nope:model")).rejects.toThrow(
    `There is no model "nope:model": "nope" is no provider (known: anthropic, openai, ollama), and the Ollama at ${url} ` +
      "doesn't have it. Name a model as provider:model, or run `ollama pull nope:model`.",
  );
  await expect(models(nobody)("nope:model")).rejects.toThrow(
    `and no Ollama answers at ${nobody} that could have it. Name a model as provider:model, or start Ollama.`,
  );
});

it("asks Ollama nothing when the name says whose the model is", async () => {
  const { url, asked } = await startOllama();
  const names = ["ollama:nope:model", "claude-sonnet-4-5", undefined];
  const chosen = await Promise.all(names.map(models(url)));
  expect(chosen.map(({ provider }) => provider)).toEqual(["ollama", "anthropic", "anthropic"]);
  expect(asked).toEqual([]);
});

it("says that a key which is set now takes another start, and only where a key is what lacks", async () => {
  const choose = models(nobody);
  await expect(choose("openai:gpt-5")).rejects.toThrow(
    "there is no key for it: set OPENAI_API_KEY. Keys are taken when a runner starts: start it again then (on your own machine: `stigmer local restart`).",
  );
  await expect(choose("nope/model:")).rejects.not.toThrow("stigmer local restart");
});
