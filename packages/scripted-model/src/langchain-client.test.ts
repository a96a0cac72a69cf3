import { ChatAnthropic, type ChatAnthropicInput } from "@langchain/anthropic";
import { HumanMessage, type AIMessageChunk, type BaseMessage, type ToolMessage } from "@langchain/core/messages";
import { tool } from "@langchain/core/tools";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { z } from "zod";
import { startScriptedModel, type ScriptedModel } from "./server.ts";

// The client that agents use, unchanged: what it makes of the bytes is what an agent sees.
let model: ScriptedModel;
beforeAll(async () => {
  model = await startScriptedModel({
    scenario: {
      name: "langchain",
      defaults: { chunkSize: 5 },
      scenarios: [
        {
          name: "tools",
          match: { human: "add" },
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
        {
          name: "busy",
          match: { human: "busy" },
          turns: [{ error: { status: 429, retryAfter: 0, times: 1 }, text: "free" }],
        },
        {
          name: "denied",
          match: { human: "denied" },
          turns: [{ error: { status: 401, message: "invalid x-api-key" } }],
        },
        {
          name: "late",
          match: { human: "late" },
          turns: [{ error: { status: 529, afterChunks: 1 }, text: "half an answer" }],
        },
        { name: "slow", match: { human: "slow" }, turns: [{ text: "one two three", chunkDelayMs: 600_000 }] },
        { name: "plain", turns: [{ text: "The quick brown fox 🦊 jumps." }] },
      ],
    },
  });
});
afterAll(() => model.close());

const chat = (fields: ChatAnthropicInput = {}) =>
  new ChatAnthropic({
    model: "claude-sonnet-4-5",
    apiKey: "any",
    anthropicApiUrl: model.url,
    maxRetries: 0,
    clientOptions: { maxRetries: 0 },
    ...fields,
  });

const add = tool(({ a, b }) => String(a + b), { name: "add", schema: z.object({ a: z.number(), b: z.number() }) });

async function streamed(input: BaseMessage[] | string, options: { tools?: boolean; fields?: ChatAnthropicInput } = {}) {
  const runnable = options.tools === true ? chat(options.fields).bindTools([add]) : chat(options.fields);
  const chunks: AIMessageChunk[] = [];
  for await (const chunk of await runnable.stream(input)) chunks.push(chunk);
  return { chunks, message: chunks.reduce((sum, chunk) => sum.concat(chunk)) };
}

describe("ChatAnthropic", () => {
  it("streams text with usage", async () => {
    const { chunks, message } = await streamed("hello");
    expect(message.text).toBe("The quick brown fox 🦊 jumps.");
    expect(chunks.filter((chunk) => chunk.text !== "").length).toBe(6);
    expect(message.id).toMatch(/^msg_/);
    // 28 code points, 29 UTF-16 units: 8 tokens, and the one that message_start announces, which the client adds.
    expect(message.usage_metadata).toMatchObject({
      output_tokens: 9,
      input_token_details: { cache_read: 0, cache_creation: 0 },
    });
    expect(message.usage_metadata?.input_tokens).toBeGreaterThan(0);
    expect(message.additional_kwargs["stop_reason"]).toBe("end_turn");
  });

  it("reads a whole message", async () => {
    const message = await chat().invoke("hello");
    expect(message.text).toBe("The quick brown fox 🦊 jumps.");
    expect(message.usage_metadata).toMatchObject({ output_tokens: 8 });
  });

  it("runs tools to the end", async () => {
    const messages: BaseMessage[] = [new HumanMessage("add please")];
    const { message } = await streamed(messages, { tools: true });
    expect(message.text).toBe("I add.");
    expect(message.tool_calls?.map(({ name, args }) => ({ name, args }))).toEqual([
      { name: "add", args: { a: 2, b: 3 } },
      { name: "add", args: { a: 4, b: 5 } },
    ]);
    messages.push(message);
    for (const call of message.tool_calls ?? []) messages.push((await add.invoke(call)) as ToolMessage);
    const { message: last } = await streamed(messages, { tools: true });
    expect(last.text).toBe("The second sum is 9, the first 5.");
  });

  it("keeps thinking apart, and sends it back", async () => {
    const thinking = { fields: { thinking: { type: "enabled", budget_tokens: 1024 }, maxTokens: 4096 } } as const;
    const { message } = await streamed("think", thinking);
    expect(message.contentBlocks).toMatchObject([
      { type: "reasoning", reasoning: "Let me see…" },
      { type: "text", text: "Seen 😀" },
    ]);
    const next = await streamed([new HumanMessage("think"), message, new HumanMessage("hello")], thinking);
    expect(next.message.text).toContain("fox");
  });

  it("maps errors, and retries what may be retried", async () => {
    await expect(streamed("denied")).rejects.toMatchObject({ status: 401, lc_error_code: "MODEL_AUTHENTICATION" });
    expect((await streamed("busy", { fields: { maxRetries: 2 } })).message.text).toBe("free");
    await expect(streamed("late")).rejects.toThrow("overloaded_error");
  });

  it("closes the socket when it is aborted", async () => {
    const stop = new AbortController();
    const reading = (async () => {
      for await (const _ of await chat().stream("slow", { signal: stop.signal }));
    })();
    const entry = () => model.requests.find(({ scenario }) => scenario === "slow");
    await vi.waitFor(() => expect(entry()?.status).toBe(200));
    stop.abort();
    await expect(reading).rejects.toThrow(/abort/i);
    await vi.waitFor(() => expect(entry()?.outcome).toBe("abandoned"));
  });
});
