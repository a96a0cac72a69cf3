import { afterEach, describe, expect, it, vi } from "vitest";
import { failureReasons, type Turn } from "./scenario/scenario.ts";
import { startScriptedModel, type ScriptedModel } from "./server.ts";

let model: ScriptedModel;
afterEach(() => model.close());

async function start(turn: Turn): Promise<void> {
  model = await startScriptedModel({
    scenario: { name: "file", models: ["m"], scenarios: [{ name: "s", turns: [{ chunkSize: 2, ...turn }] }] },
  });
}

interface Dialect {
  readonly path: string;
  readonly headers: Record<string, string>;
  readonly body: object;
  /** A mark of the stream's last frame. */
  readonly ending: string;
}

const messages = [{ role: "user", content: "hi" }];
const bearer = { authorization: "Bearer secret-key" };
const dialects: Readonly<Record<string, Dialect>> = {
  anthropic: {
    path: "/v1/messages",
    headers: { "x-api-key": "secret-key", "anthropic-version": "2023-06-01" },
    body: { model: "m", max_tokens: 10, messages },
    ending: "message_stop",
  },
  openai: { path: "/v1/chat/completions", headers: bearer, body: { model: "m", messages }, ending: "[DONE]" },
  "openai responses": {
    path: "/v1/responses",
    headers: bearer,
    body: { model: "m", input: "hi" },
    ending: "response.completed",
  },
  ollama: { path: "/api/chat", headers: {}, body: { model: "m", messages }, ending: '"done":true' },
};

describe.each(Object.keys(dialects))("%s", (name) => {
  const { path, headers, body, ending } = dialects[name]!;
  const post = (stream = true, signal?: AbortSignal): Promise<Response> =>
    fetch(`${model.url}${path}`, { method: "POST", headers, body: JSON.stringify({ ...body, stream }), signal });

  it("answers whole and streamed, with its end", async () => {
    await start({ thinking: "hm", text: "abc", toolCalls: [{ name: "t", args: { x: 1 } }] });
    expect(await (await post()).text()).toContain(ending);
    expect(JSON.stringify(await (await post(false)).json())).toContain("abc");
  });

  it("gives each try ids of its own, and the same request the same", async () => {
    await start({ text: "abc", toolCalls: [{ name: "t" }], error: { reason: "overloaded", times: 1 } });
    await (await post()).text();
    const [first, second] = [await (await post()).text(), await (await post()).text()];
    expect(first).toBe(second);
    await model.close();
    await start({ text: "abc", toolCalls: [{ name: "t" }] });
    const calm = await (await post()).text();
    // Ollama tells no ids.
    expect(calm === first).toBe(name === "ollama");
  });

  it.each(failureReasons)("fails in its own words: %s", async (reason) => {
    await start({ error: { reason } });
    const response = await post();
    const text = await response.text();
    expect([response.status, text]).toMatchSnapshot();
    expect(model.requests[0]).toMatchObject({ status: response.status, outcome: "failed" });
  });

  it.each([
    ["seconds", "retry-after", /^2$/],
    ["date", "retry-after", /^\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT$/],
    ["milliseconds", "retry-after-ms", /^2000$/],
  ] as const)("tells how long to wait in %s", async (retryAfterAs, header, expected) => {
    await start({ error: { reason: "rate-limited", retryAfter: 2, retryAfterAs } });
    expect((await post()).headers.get(header) ?? "").toMatch(expected);
  });

  it("answers with a page", async () => {
    await start({ error: { status: 200, contentType: "text/html", message: "Log in" } });
    const response = await post();
    expect([response.status, response.headers.get("content-type")]).toEqual([200, "text/html"]);
    expect(await response.text()).toContain("<h1>Log in</h1>");
  });

  it.each([
    ["reset", /^terminated$/],
    ["end", /^ended after a frame that is JSON$/],
    ["malformed", /^ended after a frame that is none$/],
  ] as const)("breaks off: %s", async (how, expected) => {
    await start({ text: "abcdef", cut: { afterChunks: 2, how, times: 1 } });
    const outcome = await (await post()).text().then(endOf, (error: Error) => error.message);
    expect(outcome).toMatch(expected);
    await vi.waitFor(() => expect(model.requests[0]?.outcome).toBe("cut"));
    expect(await (await post()).text()).toContain(ending);
  });

  function endOf(text: string): string {
    if (text.includes(ending)) return "whole";
    const last = text.trimEnd().split("\n").at(-1) ?? "";
    try {
      JSON.parse(last.replace(/^data: /, ""));
      return "ended after a frame that is JSON";
    } catch {
      return "ended after a frame that is none";
    }
  }

  it("falls silent, until the client leaves", async () => {
    await start({ text: "abcdef", cut: { afterChunks: 1, how: "silence" } });
    const leave = new AbortController();
    const response = await post(true, leave.signal);
    const first = await response.body!.getReader().read();
    expect(Buffer.from(first.value!).length).toBeGreaterThan(0);
    expect(model.requests[0]?.outcome).toBe("open");
    leave.abort();
    await vi.waitFor(() => expect(model.requests[0]?.outcome).toBe("abandoned"));
  });

  it("declines", async () => {
    await start({ text: "ab", refusal: "I can't help with that." });
    expect(await (await post(false)).json()).toMatchSnapshot();
    expect(await (await post()).text()).toContain(ending);
  });
});

describe("lists of models", () => {
  it.each([
    ["/v1/models", bearer, { object: "list", data: [{ id: "m", object: "model" }] }],
    ["/v1/models/m", bearer, { id: "m", object: "model" }],
    ["/v1/models/x", bearer, { error: { message: "The model 'x' does not exist" } }],
    ["/v1/models", dialects["anthropic"]!.headers, { data: [{ id: "m", type: "model" }], has_more: false }],
    ["/api/tags", {}, { models: [{ name: "m", model: "m" }] }],
    ["/api/version", {}, { version: expect.any(String) as string }],
  ])("%s", async (path, headers, expected) => {
    await start({ text: "t" });
    expect(await (await fetch(`${model.url}${path}`, { headers })).json()).toMatchObject(expected);
  });

  it("/api/show", async () => {
    await start({ text: "t" });
    const show = async (name: string): Promise<unknown> =>
      (await fetch(`${model.url}/api/show`, { method: "POST", body: JSON.stringify({ model: name }) })).json();
    expect(await show("m")).toMatchObject({ capabilities: expect.arrayContaining(["tools"]) as string[] });
    expect(await show("x")).toEqual({ error: "model 'x' not found" });
  });
});

describe("what the real APIs refuse", () => {
  const result = { role: "tool", content: "r", tool_call_id: "c1" };
  const asks = {
    role: "assistant",
    content: null,
    tool_calls: [{ id: "c1", type: "function", function: { name: "t", arguments: "{}" } }],
  };
  it.each([
    ["no key", "openai", {}, 401],
    [
      "content of a kind of its own",
      "openai",
      { messages: [{ role: "user", content: [{ type: "image", mimeType: "image/png", data: "aGk=" }] }] },
      400,
    ],
    [
      "an image in a result",
      "openai",
      { messages: [...messages, asks, { ...result, content: [{ type: "image_url", image_url: { url: "data:," } }] }] },
      400,
    ],
    ["a call without its result", "openai", { messages: [...messages, asks, messages[0]] }, 400],
    ["a result without its call", "openai", { messages: [...messages, result] }, 400],
    [
      "a call without its output",
      "openai responses",
      {
        input: [
          { role: "user", content: "hi" },
          { type: "function_call", call_id: "c", name: "t", arguments: "{}" },
        ],
      },
      400,
    ],
    [
      "an output without its call",
      "openai responses",
      { input: [{ type: "function_call_output", call_id: "c", output: "o" }] },
      400,
    ],
    ["blocks", "ollama", { messages: [{ role: "user", content: [{ type: "text", text: "hi" }] }] }, 400],
    [
      "a data URL for an image",
      "ollama",
      { messages: [{ role: "user", content: "", images: ["data:image/png;base64,aGk="] }] },
      400,
    ],
    ["a result without a call", "ollama", { messages: [...messages, { role: "tool", content: "r" }] }, 400],
  ])("%s", async (what, name, fields, status) => {
    await start({ text: "t" });
    const { path, headers, body } = dialects[name]!;
    const sent = what === "no key" ? {} : headers;
    const response = await fetch(`${model.url}${path}`, {
      method: "POST",
      headers: sent,
      body: JSON.stringify({ ...body, ...fields }),
    });
    expect(response.status, await response.text()).toBe(status);
  });
});
