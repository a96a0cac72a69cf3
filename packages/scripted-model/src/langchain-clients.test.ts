import { ChatAnthropic } from "@langchain/anthropic";
import type { BaseChatModel } from "@langchain/core/language_models/chat_models";
import { type AIMessageChunk, type BaseMessage, HumanMessage, type ToolMessage } from "@langchain/core/messages";
import { tool } from "@langchain/core/tools";
import { ChatOllama } from "@langchain/ollama";
import { ChatOpenAI } from "@langchain/openai";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { z } from "zod";
import { startScriptedModel, type ScriptedModel } from "./server.ts";

// The clients that agents use, unchanged: what they make of the bytes is what an agent sees. One scenario for all.
let model: ScriptedModel;
beforeAll(async () => {
  model = await startScriptedModel({
    scenario: {
      name: "langchain",
      models: ["claude-sonnet-4-5", "gpt-5.5", "qwen2.5-coder:7b"],
      defaults: { chunkSize: 5 },
      scenarios: [
        {
          name: "tools",
          match: { system: "calculator", human: "add", tools: ["add"] },
          turns: [
            {
              text: "I add.",
              toolCalls: [
                { name: "add", args: { a: 2, b: 3 } },
                { name: "add", args: { a: 4, b: 5 } },
              ],
            },
            { text: 'The second sum is {{ result("add") }}, the first {{ result(1) }}.' },
          ],
        },
        { name: "thinking", match: { human: "think" }, turns: [{ thinking: "Let me see…", text: "Seen 😀" }] },
        { name: "image", match: { human: "look" }, turns: [{ text: "A dot." }] },
        {
          name: "late",
          match: { human: "late" },
          turns: [{ error: { status: 503, afterChunks: 1 }, text: "half an answer" }],
        },
        { name: "cut", match: { human: "cut" }, turns: [{ cut: { afterChunks: 1 }, text: "half an answer" }] },
        { name: "slow", match: { human: "slow" }, turns: [{ text: "one two three", chunkDelayMs: 600_000 }] },
        { name: "plain", turns: [{ text: "The quick brown fox 🦊 jumps." }] },
      ],
    },
  });
});
afterAll(() => model.close());

const shared = { apiKey: "any", maxRetries: 0 };
const clients = {
  "Anthropic Messages": (url: string): BaseChatModel =>
    new ChatAnthropic({
      ...shared,
      model: "claude-sonnet-4-5",
      anthropicApiUrl: url,
      thinking: { type: "enabled", budget_tokens: 1024 },
      maxTokens: 4096,
    }),
  "OpenAI Chat Completions": (url: string): BaseChatModel =>
    new ChatOpenAI({ ...shared, model: "gpt-5.5", configuration: { baseURL: `${url}/v1` } }),
  "OpenAI Responses": (url: string): BaseChatModel =>
    new ChatOpenAI({ ...shared, model: "gpt-5.6", configuration: { baseURL: `${url}/v1` } }),
  Ollama: (url: string): BaseChatModel => new ChatOllama({ model: "qwen2.5-coder:7b", baseUrl: url, maxRetries: 0 }),
};
const paths: Record<keyof typeof clients, string> = {
  "Anthropic Messages": "/v1/messages",
  "OpenAI Chat Completions": "/v1/chat/completions",
  "OpenAI Responses": "/v1/responses",
  Ollama: "/api/chat",
};

const add = tool(({ a, b }) => String(a + b), { name: "add", schema: z.object({ a: z.number(), b: z.number() }) });

describe.each(Object.keys(clients) as (keyof typeof clients)[])("%s", (name) => {
  const client = () => clients[name](model.url);
  async function streamed(input: BaseMessage[] | string, tools = false) {
    const runnable = tools ? client().bindTools!([add]) : client();
    const chunks: AIMessageChunk[] = [];
    for await (const chunk of await runnable.stream(input)) chunks.push(chunk as AIMessageChunk);
    return { chunks, message: chunks.reduce((sum, chunk) => sum.concat(chunk)) };
  }

  it("streams text with usage", async () => {
    const { chunks, message } = await streamed("hello");
    expect(message.text).toBe("The quick brown fox 🦊 jumps.");
    expect(chunks.filter((chunk) => chunk.text !== "").length).toBe(6);
    expect(model.requests.at(-1)?.path).toBe(paths[name]);
    expect(message.usage_metadata?.input_tokens).toBeGreaterThan(0);
    expect(message.usage_metadata?.output_tokens).toBeGreaterThan(7);
  });

  it("reads a whole message", async () => {
    const message = await client().invoke("hello");
    expect(message.text).toBe("The quick brown fox 🦊 jumps.");
    expect(message.usage_metadata).toMatchObject({ output_tokens: 8 });
  });

  it("runs two tools to the end", async () => {
    const messages: BaseMessage[] = [new HumanMessage("add please")];
    const system = "You are a calculator.";
    const { message } = await streamed([{ role: "system", content: system } as never, ...messages], true);
    expect(message.text).toBe("I add.");
    expect(message.tool_calls?.map(({ name, args }) => ({ name, args }))).toEqual([
      { name: "add", args: { a: 2, b: 3 } },
      { name: "add", args: { a: 4, b: 5 } },
    ]);
    expect(new Set(message.tool_calls?.map(({ id }) => id)).size).toBe(2);
    messages.push(message);
    for (const call of message.tool_calls ?? []) messages.push((await add.invoke(call)) as ToolMessage);
    const { message: last } = await streamed([{ role: "system", content: system } as never, ...messages], true);
    expect(last.text).toBe("The second sum is 9, the first 5.");
  });

  it("keeps thinking apart, and takes it back", async () => {
    const { message } = await streamed("think");
    expect(message.text).toBe("Seen 😀");
    const beside = message.additional_kwargs["reasoning_content"];
    const inside = message.contentBlocks.flatMap((block) => (block.type === "reasoning" ? [block.reasoning] : []));
    expect([beside, inside.join("")]).toContain("Let me see…");
    const next = await streamed([new HumanMessage("think"), message, new HumanMessage("hello")]);
    expect(next.message.text).toContain("fox");
  });

  it("takes images", async () => {
    const url = "data:image/png;base64,aW1hZ2U=";
    const { message } = await streamed([
      new HumanMessage({
        content: [
          { type: "text", text: "look" },
          { type: "image_url", image_url: { url } },
        ],
      }),
    ]);
    expect(message.text).toBe("A dot.");
    expect(JSON.stringify(model.requests.at(-1)?.body).split("aW1hZ2U=")).toHaveLength(2);
  });

  it.each(["late", "cut"])("breaks off: %s", async (question) => {
    const read: string[] = [];
    const reading = (async () => {
      for await (const chunk of await client().stream(question)) read.push(chunk.text);
    })();
    await expect(reading).rejects.toThrow(/Scripted failure|terminated|Premature|network/i);
    expect(read.join("")).toBe("half ");
  });

  it("closes the socket when its reader leaves", async () => {
    const before = model.requests.length;
    const stop = new AbortController();
    const reading = (async () => {
      for await (const _ of await client().stream("slow", { signal: stop.signal }));
    })();
    const entry = () => model.requests.slice(before).find(({ scenario }) => scenario === "slow");
    await vi.waitFor(() => expect(entry()?.status).toBe(200));
    stop.abort();
    await expect(reading).rejects.toThrow(/abort/i);
    // Ollama's client has no way to be told while it waits for the next piece.
    const outcome = name === "Ollama" ? "open" : "abandoned";
    await vi.waitFor(() => expect(entry()?.outcome).toBe(outcome));
  });
});
