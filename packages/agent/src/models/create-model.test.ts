import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { AIMessage, type BaseMessage, HumanMessage, ToolMessage } from "@langchain/core/messages";
import { expect, it } from "vitest";
import { toPortable } from "../middleware/portable-content.ts";
import { createModel } from "./create-model.ts";
import type { ModelConfig } from "./model-config.ts";

interface Seen {
  readonly path: string;
  readonly key: string | undefined;
  readonly body: Record<string, unknown>;
}

/** What the provider's client sends for a config; the answer is a refusal. */
async function requestOf(
  config: (url: string) => ModelConfig,
  messages: BaseMessage[] = [new HumanMessage("Hello")],
): Promise<Seen> {
  let seen: Seen | undefined;
  const server = createServer(async (request, response) => {
    const chunks = await request.toArray();
    const { authorization, "x-api-key": key } = request.headers;
    const body = JSON.parse(Buffer.concat(chunks as Buffer[]).toString()) as Record<string, unknown>;
    seen = { path: request.url ?? "", key: (key as string | undefined) ?? authorization, body };
    response.writeHead(400, { "content-type": "application/json" }).end("{}");
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    const model = await createModel(config(`http://127.0.0.1:${(server.address() as AddressInfo).port}`));
    await model.invoke(messages).catch(() => undefined);
  } finally {
    server.closeAllConnections();
    server.close();
  }
  if (seen === undefined) throw new Error("no request came");
  return seen;
}

const common = { model: "m", maxTokens: 123, temperature: 0.5 };

it("speaks to Anthropic", async () => {
  const seen = await requestOf((baseUrl) => ({ provider: "anthropic", apiKey: "k", baseUrl, ...common }));
  expect(seen).toMatchObject({
    path: "/v1/messages",
    key: "k",
    body: { model: "m", max_tokens: 123, temperature: 0.5 },
  });
});

it("speaks to OpenAI, and to whatever speaks like it", async () => {
  const seen = await requestOf((url) => ({ provider: "openai", apiKey: "k", baseUrl: `${url}/v1`, ...common }));
  expect(seen).toMatchObject({ path: "/v1/chat/completions", key: "Bearer k", body: { model: "m", temperature: 0.5 } });
  expect(seen.body["max_tokens"] ?? seen.body["max_completion_tokens"]).toBe(123);
});

it("speaks to Ollama", async () => {
  const seen = await requestOf((baseUrl) => ({ provider: "ollama", baseUrl, ...common }));
  expect(seen).toMatchObject({
    path: "/api/chat",
    body: { model: "m", options: { num_predict: 123, temperature: 0.5 } },
  });
});

it("leaves out what isn't given", async () => {
  const seen = await requestOf((baseUrl) => ({ provider: "ollama", baseUrl, model: "m" }));
  expect(seen.body["options"]).not.toHaveProperty("num_predict");
});

it.each<(url: string) => ModelConfig>([
  (baseUrl) => ({ provider: "anthropic", apiKey: "k", baseUrl, ...common }),
  (baseUrl) => ({ provider: "openai", apiKey: "k", baseUrl, ...common }),
  (baseUrl) => ({ provider: "ollama", baseUrl, ...common }),
])("sends an image that a tool returned once, in the provider's own form", async (config) => {
  const image = { type: "image", mimeType: "image/png", data: "aW1hZ2U=" };
  const seen = await requestOf(
    config,
    toPortable([
      new HumanMessage("Look."),
      new AIMessage({ content: "", tool_calls: [{ id: "c", name: "read_file", args: { file_path: "a.png" } }] }),
      new ToolMessage({ content: [image], tool_call_id: "c", name: "read_file" }),
    ]),
  );
  const sent = JSON.stringify(seen.body["messages"]);
  expect(sent.split("aW1hZ2U=")).toHaveLength(2);
  expect(sent).not.toContain("mimeType");
});
