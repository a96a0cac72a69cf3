import { startScriptedModel } from "@stigmer/scripted-model";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createJoiner, joinPieces } from "./join-pieces.ts";
import type { ModelProvider } from "./model-config.ts";

const sse = (event: string, data: object): string => `event: ${event}\ndata: ${JSON.stringify(data)}\n\n`;
const delta = (index: number, piece: object): string =>
  sse("content_block_delta", { type: "content_block_delta", index, delta: piece });
const chat = (piece: object, more: object = {}): string =>
  `data: ${JSON.stringify({ id: "c", choices: [{ index: 0, delta: piece, finish_reason: null, ...more }] })}\n\n`;
const response = (type: string, fields: object): string => sse(type, { type, ...fields });
const line = (fields: object, more: object = {}): string =>
  `${JSON.stringify({ model: "m", created_at: "t", message: { role: "assistant", ...fields }, done: false, ...more })}\n`;
const args = (json: string): object => ({ tool_calls: [{ index: 0, function: { arguments: json } }] });

function partsOf(provider: ModelProvider, chunks: readonly (string | Uint8Array)[]): string[] {
  const joiner = createJoiner(provider);
  const encoder = new TextEncoder();
  const parts = chunks.flatMap((chunk) => joiner(typeof chunk === "string" ? encoder.encode(chunk) : chunk));
  return parts.map((part) => Buffer.from(part).toString("latin1"));
}

function join(provider: ModelProvider, chunks: readonly (string | Uint8Array)[]): string {
  return Buffer.from(partsOf(provider, chunks).join(""), "latin1").toString();
}

it.each<[string, ModelProvider, string[], string[]]>([
  [
    "Anthropic Messages",
    "anthropic",
    [
      delta(0, { type: "thinking_delta", thinking: "a" }),
      delta(0, { type: "thinking_delta", thinking: "b" }),
      delta(0, { type: "signature_delta", signature: "s" }),
      delta(1, { type: "text_delta", text: "c" }),
      sse("ping", { type: "ping" }),
      delta(1, { type: "text_delta", text: "d" }),
      delta(1, { type: "text_delta", text: "\n\né" }),
      delta(2, { type: "input_json_delta", partial_json: '{"a' }),
      delta(2, { type: "input_json_delta", partial_json: '":1}' }),
      delta(3, { type: "input_json_delta", partial_json: "{}" }),
    ],
    [
      delta(0, { type: "thinking_delta", thinking: "ab" }),
      delta(0, { type: "signature_delta", signature: "s" }),
      delta(1, { type: "text_delta", text: "c" }),
      sse("ping", { type: "ping" }),
      delta(1, { type: "text_delta", text: "d\n\né" }),
      delta(2, { type: "input_json_delta", partial_json: '{"a":1}' }),
      delta(3, { type: "input_json_delta", partial_json: "{}" }),
    ],
  ],
  [
    "OpenAI Chat Completions",
    "openai",
    [
      chat({ role: "assistant", content: "", refusal: null }),
      chat({ content: "a" }),
      chat({ content: "b" }, { logprobs: null }),
      chat({ content: "c" }, { logprobs: { content: [] } }),
      chat({ reasoning_content: "d" }),
      chat({ reasoning_content: "e" }),
      chat(args("{")),
      chat(args("}")),
      chat({ tool_calls: [{ index: 1, id: "x", function: { name: "f", arguments: "" } }] }),
      chat({ tool_calls: [{ index: 1, function: { arguments: "[" } }] }),
      chat({ content: "f" }, { finish_reason: "stop" }),
      "data: [DONE]\n\n",
    ],
    [
      chat({ role: "assistant", content: "", refusal: null }),
      chat({ content: "ab" }, { logprobs: null }),
      chat({ content: "c" }, { logprobs: { content: [] } }),
      chat({ reasoning_content: "de" }),
      chat(args("{}")),
      chat({ tool_calls: [{ index: 1, id: "x", function: { name: "f", arguments: "" } }] }),
      chat({ tool_calls: [{ index: 1, function: { arguments: "[" } }] }),
      chat({ content: "f" }, { finish_reason: "stop" }),
      "data: [DONE]\n\n",
    ],
  ],
  [
    "OpenAI Responses",
    "openai",
    [
      response("response.output_text.delta", { item_id: "i", content_index: 0, delta: "a", sequence_number: 1 }),
      response("response.output_text.delta", { item_id: "i", content_index: 0, delta: "b", sequence_number: 2 }),
      response("response.output_text.delta", { item_id: "i", content_index: 1, delta: "c", sequence_number: 3 }),
      response("response.output_text.delta", { item_id: "i", content_index: 1, delta: "d", logprobs: [{}] }),
      response("response.function_call_arguments.delta", { item_id: "j", output_index: 1, delta: "{" }),
      response("response.function_call_arguments.delta", { item_id: "j", output_index: 1, delta: "}" }),
      response("response.completed", { response: {} }),
    ],
    [
      response("response.output_text.delta", { item_id: "i", content_index: 0, delta: "ab", sequence_number: 2 }),
      response("response.output_text.delta", { item_id: "i", content_index: 1, delta: "c", sequence_number: 3 }),
      response("response.output_text.delta", { item_id: "i", content_index: 1, delta: "d", logprobs: [{}] }),
      response("response.function_call_arguments.delta", { item_id: "j", output_index: 1, delta: "{}" }),
      response("response.completed", { response: {} }),
    ],
  ],
  [
    "Ollama",
    "ollama",
    [
      line({ content: "", thinking: "a" }),
      line({ content: "", thinking: "b" }),
      line({ content: "c" }),
      line({ content: "d" }),
      line({ content: "", tool_calls: [{ function: { name: "f", arguments: {} } }] }),
      line({ content: "e" }),
      line({ content: "" }, { done: true, done_reason: "stop" }),
    ],
    [
      line({ content: "", thinking: "ab" }),
      line({ content: "cd" }),
      line({ content: "", tool_calls: [{ function: { name: "f", arguments: {} } }] }),
      line({ content: "e" }),
      line({ content: "" }, { done: true, done_reason: "stop" }),
    ],
  ],
])("joins what differs in its text alone: %s", (_, provider, pieces, joined) => {
  expect(join(provider, [pieces.join("")])).toBe(joined.join(""));
  expect(join(provider, pieces), "each by itself").toBe(pieces.join(""));
});

it.each<[string, ModelProvider, string]>([
  ["lines that end otherwise", "anthropic", delta(0, { type: "text_delta", text: "a" }).replaceAll("\n", "\r\n")],
  ["broken JSON", "anthropic", delta(0, { type: "text_delta", text: "a" }).replace("}}", "}")],
  ["an event of more than it knows", "anthropic", delta(0, { type: "text_delta", text: "a", citations: [] })],
  ["a text that is none", "anthropic", delta(0, { type: "text_delta", text: 1 })],
  ["how much was used", "openai", 'data: {"id":"c","choices":[{"index":0,"delta":{"content":"a"}}],"usage":{}}\n\n'],
  ["what is no object", "openai", "data: {}\n\ndata: null\n\n"],
  ["other lines", "ollama", "1\nnull\n[]\n{}\n"],
])("hands on as it came %s", (_, provider, frame) => {
  expect(join(provider, [frame + frame])).toBe(frame + frame);
});

describe("parts", () => {
  const start = sse("message_start", { type: "message_start" });
  const text = (index: number, said: string): string => delta(index, { type: "text_delta", text: said });
  const stop = sse("content_block_stop", { type: "content_block_stop", index: 0 });

  it("end where a text has begun, each of its texts once", () => {
    const chunks = [start + text(0, "a") + text(0, "b") + stop + text(1, "c") + stop, text(1, "d") + stop];
    expect(partsOf("anthropic", chunks)).toEqual([
      start + text(0, "ab"),
      stop + text(1, "c"),
      stop,
      text(1, "d") + stop,
    ]);
  });

  it("are none of a text at its chunk's end", () => {
    expect(partsOf("anthropic", [start + text(0, "a"), stop])).toEqual([start + text(0, "a"), stop]);
  });

  it("keep what is cut in the middle", () => {
    const whole = start + text(0, "é") + stop;
    const cut = start.length + 10;
    expect(
      partsOf("anthropic", [whole.slice(0, cut), whole.slice(cut) + stop.slice(0, 5), stop.slice(5)]).join(""),
    ).toBe(Buffer.from(whole + stop).toString("latin1"));
  });

  it("are not as many as a server names texts", () => {
    const named = Array.from({ length: 100 }, (_, index) => text(index, "a"));
    expect(partsOf("anthropic", [named.join("")])).toHaveLength(33);
  });
});

describe("an answer of a real protocol", () => {
  const said = {
    name: "long",
    defaults: { chunkSize: 3 },
    scenarios: [
      {
        name: "any",
        turns: [
          {
            thinking: "Ein Plan, zuerst…",
            text: "Größe 🎉 und mehr.\n\nNoch eine Zeile.",
            toolCalls: [
              { name: "write_file", args: { file_path: "ä.txt", content: "eins\n\nzwei" } },
              { name: "execute", args: { command: "ls" } },
            ],
          },
        ],
      },
    ],
  };
  const messages = [{ role: "user", content: "Go." }];
  const asked = { model: "gpt-5.6", stream: true, max_tokens: 1_000 };

  it.each<[string, ModelProvider, object]>([
    ["/v1/messages", "anthropic", { ...asked, messages }],
    ["/v1/chat/completions", "openai", { ...asked, messages }],
    ["/v1/responses", "openai", { model: "gpt-5.6", stream: true, input: messages }],
    ["/api/chat", "ollama", { ...asked, messages }],
  ])("says the same however it is cut: %s", async (path, provider, body) => {
    await using model = await startScriptedModel({ scenario: said });
    const headers = { "content-type": "application/json", "x-api-key": "k", authorization: "Bearer k" };
    const answer = await fetch(model.url + path, {
      method: "POST",
      headers: { ...headers, "anthropic-version": "2023-06-01" },
      body: JSON.stringify(body),
    });
    expect(answer.status).toBe(200);
    const bytes = new Uint8Array(await answer.arrayBuffer());
    const whole = join(provider, [bytes]);
    expect(whole.length).toBeLessThan(bytes.length / 2);
    fc.assert(
      fc.property(fc.array(fc.nat(bytes.length), { maxLength: 30 }), (cuts) => {
        const edges = [0, ...cuts.toSorted((a, b) => a - b), bytes.length];
        const chunks = edges.slice(1).map((edge, at) => bytes.slice(edges[at], edge));
        // What was joined in part is the same as soon as all of it is.
        expect(join(provider, [Buffer.from(join(provider, chunks))])).toBe(whole);
      }),
    );
  });
});

describe("the stream of it", () => {
  const piece = new TextEncoder().encode(delta(0, { type: "text_delta", text: "a" }));

  it("gives what came before it broke off, then why", async () => {
    const broken = new Error("cut");
    const source = (async function* () {
      yield piece;
      throw broken;
    })();
    const reader = joinPieces(ReadableStream.from(source), "anthropic").getReader();
    expect(await reader.read()).toEqual({ done: false, value: piece });
    await expect(reader.read()).rejects.toBe(broken);
  });

  it("turns to what else there is to do once a text has begun", async () => {
    const stop = sse("content_block_stop", { type: "content_block_stop", index: 0 });
    const source = ReadableStream.from([Buffer.concat([piece, Buffer.from(stop)])]);
    const reader = joinPieces(source, "anthropic").getReader();
    expect(await reader.read()).toEqual({ done: false, value: Buffer.from(piece) });
    const order: string[] = [];
    setImmediate(() => order.push("a connection's turn"));
    const { value } = await reader.read();
    order.push(Buffer.from(value ?? []).toString());
    expect(order).toEqual(["a connection's turn", stop]);
    expect(await reader.read()).toEqual({ done: true, value: undefined });
  });

  it("leaves the source with its reader, with a part on its way", async () => {
    let left: unknown;
    const source = new ReadableStream<Uint8Array>({
      start: (controller) => controller.enqueue(Buffer.concat([piece, Buffer.from("event: ping\n\n")])),
      cancel: (reason) => void (left = reason),
    });
    const reader = joinPieces(source, "anthropic").getReader();
    await reader.read();
    const waiting = reader.read();
    await reader.cancel("enough");
    expect(left).toBe("enough");
    expect(await waiting).toEqual({ done: true, value: undefined });
  });

  it("leaves the source with its reader, while it waits for it too", async () => {
    let left: unknown;
    const source = new ReadableStream<Uint8Array>({ cancel: (reason) => void (left = reason) });
    const reader = joinPieces(source, "anthropic").getReader();
    const waiting = reader.read();
    await reader.cancel("enough");
    expect(left).toBe("enough");
    expect(await waiting).toEqual({ done: true, value: undefined });
  });

  it("reads no further than it is asked to", async () => {
    let reads = 0;
    const source = new ReadableStream<Uint8Array>(
      {
        pull(controller) {
          reads += 1;
          controller.enqueue(piece);
        },
      },
      { highWaterMark: 0 },
    );
    const reader = joinPieces(source, "anthropic").getReader();
    await reader.read();
    expect(reads).toBe(1);
  });
});
