import * as fc from "fast-check";
import { afterEach, describe, expect, it, vi } from "vitest";
import type { Scenario, ScenarioFile, Turn } from "./scenario/scenario.ts";
import { startScriptedModel, type ScriptedModel } from "./server.ts";

const running: ScriptedModel[] = [];
afterEach(async () => {
  await Promise.all(running.splice(0).map((model) => model.close()));
});

async function start(
  turns: Turn[],
  more: Partial<Scenario> & Pick<ScenarioFile, "defaults"> = {},
): Promise<ScriptedModel> {
  const { defaults, ...scenario } = more;
  const model = await startScriptedModel({
    scenario: { name: "file", defaults, scenarios: [{ name: "only", turns, ...scenario }] },
  });
  running.push(model);
  return model;
}

interface Event {
  event: string;
  data: { [field: string]: unknown; delta?: Record<string, string>; index?: number };
}

const headers = { "x-api-key": "secret-key", "anthropic-version": "2023-06-01", "content-type": "application/json" };
const user = (content: unknown) => ({ role: "user", content });
const call = (id: string, name = "execute") => ({
  role: "assistant",
  content: [{ type: "tool_use", id, name, input: {} }],
});
const result = (id: string, content: unknown) => user([{ type: "tool_result", tool_use_id: id, content }]);

function post(model: ScriptedModel, fields: object = {}, init: RequestInit = {}): Promise<Response> {
  const body = { model: "claude-test", max_tokens: 100, stream: true, messages: [user("hi")], ...fields };
  return fetch(`${model.url}/v1/messages`, { method: "POST", headers, body: JSON.stringify(body), ...init });
}

async function events(response: Response): Promise<Event[]> {
  expect(response.status).toBe(200);
  expect(response.headers.get("content-type")).toContain("text/event-stream");
  return parseEvents(await response.text());
}

function parseEvents(text: string): Event[] {
  const blocks = text.split("\n\n");
  expect(blocks.pop()).toBe("");
  return blocks.map((block) => {
    const [, event, data] = /^event: (\S+)\ndata: (.*)$/.exec(block) ?? [];
    return { event: event ?? block, data: JSON.parse(data ?? "null") as Event["data"] };
  });
}

const joined = (all: Event[], field: string): string => all.map(({ data }) => data.delta?.[field] ?? "").join("");
const errorOf = async (response: Response) =>
  ((await response.json()) as { error: { type: string; message: string } }).error;

describe("a streamed answer", () => {
  it("is the Messages API's sequence of events", async () => {
    const model = await start([
      { thinking: "Hm, two.", text: "I look.", toolCalls: [{ name: "ls", args: { path: "/" } }, { name: "now" }] },
    ]);
    const all = await events(await post(model));
    const sequence = all.map(({ event, data }) => {
      const detail = data.delta?.["type"] ?? (data["content_block"] as { type: string } | undefined)?.type;
      return [event, data.index, detail].filter((part) => part !== undefined).join(" ");
    });
    expect(sequence.filter((line, index) => line !== sequence[index - 1])).toEqual([
      "message_start",
      "content_block_start 0 thinking",
      "ping",
      "content_block_delta 0 thinking_delta",
      "content_block_delta 0 signature_delta",
      "content_block_stop 0",
      "content_block_start 1 text",
      "content_block_delta 1 text_delta",
      "content_block_stop 1",
      "content_block_start 2 tool_use",
      "content_block_delta 2 input_json_delta",
      "content_block_stop 2",
      "content_block_start 3 tool_use",
      "content_block_delta 3 input_json_delta",
      "content_block_stop 3",
      "message_delta",
      "message_stop",
    ]);
    expect(joined(all, "thinking")).toBe("Hm, two.");
    expect(joined(all, "text")).toBe("I look.");
    expect(joined(all, "partial_json")).toBe('{"path":"/"}{}');
    expect(all.every(({ event, data }) => data["type"] === event)).toBe(true);
    expect(all.find(({ event }) => event === "message_delta")?.data).toMatchObject({
      delta: { stop_reason: "tool_use", stop_sequence: null },
      usage: { cache_read_input_tokens: 0, cache_creation_input_tokens: 0, output_tokens: 9 },
    });
  });

  it("reassembles to the text whatever the size of its pieces", async () => {
    const model = await start([{ text: "{{ said }}" }], {
      capture: { said: { from: "human", pattern: "[^]*" } },
      defaults: { chunkSize: 3 },
    });
    const text = fc
      .string({ unit: fc.constantFrom("a", "é", "😀", "👩‍👩‍👧", "\n", "漢", '"', "\\") })
      .map((text) => `.${text}`);
    await fc.assert(
      fc.asyncProperty(text, async (text) => {
        expect(joined(await events(await post(model, { messages: [user(text)] })), "text")).toBe(text);
      }),
      { numRuns: 30 },
    );
  });

  it("is one JSON message when no stream is asked for", async () => {
    const model = await start([
      { thinking: "t", text: "x", toolCalls: [{ name: "ls", args: { a: [1] }, id: "mine" }] },
    ]);
    const message: unknown = await (await post(model, { stream: false })).json();
    expect(message).toEqual({
      id: expect.stringMatching(/^msg_[0-9a-f]{24}$/) as string,
      type: "message",
      role: "assistant",
      model: "claude-test",
      content: [
        { type: "thinking", thinking: "t", signature: expect.any(String) as string },
        { type: "text", text: "x" },
        { type: "tool_use", id: "mine", name: "ls", input: { a: [1] } },
      ],
      stop_reason: "tool_use",
      stop_sequence: null,
      usage: {
        input_tokens: expect.any(Number) as number,
        cache_creation_input_tokens: 0,
        cache_read_input_tokens: 0,
        output_tokens: 4,
      },
    });
  });
});

describe("which answer", () => {
  const calls = [{ name: "execute", args: { command: "one" } }, { name: "execute" }];

  it("follows from the request alone", async () => {
    const model = await start([{ toolCalls: calls }, { text: "done" }]);
    const whole = async (messages: unknown[]) =>
      (await (await post(model, { stream: false, messages })).json()) as {
        id: string;
        content: { id: string; text: string }[];
      };
    const first = await whole([user("hi")]);
    expect(await whole([user("hi")])).toEqual(first);

    const [a, b] = first.content.map(({ id }) => id) as [string, string];
    expect(a).not.toBe(b);
    const history = [user("hi"), { role: "assistant", content: [...call(a).content, ...call(b).content] }];
    const answers = user([...(result(a, "1").content as object[]), ...(result(b, "2").content as object[])]);
    const second = await whole([...history, answers]);
    expect(second.content[0]?.text).toBe("done");
    expect(second.id).not.toBe(first.id);

    // The same question again in the same conversation is a new run with ids of its own.
    const again = await whole([...history, answers, { role: "assistant", content: "done" }, user("hi")]);
    expect(again.content.map(({ id }) => id)).not.toEqual([a, b]);
  });

  it("is chosen by system, human, first human, model and tools", async () => {
    const matches: [string, Scenario["match"]][] = [
      ["tools", { tools: ["task", { regex: "^mcp__" }] }],
      ["first", { firstHuman: "begin", human: { regex: "^end$" } }],
      ["system", { system: { contains: "You are B" } }],
      ["model", { model: { regex: "haiku" } }],
    ];
    const scenarios = matches.map(([name, match]) => ({ name, match, turns: [{ text: name }] }));
    const model = await startScriptedModel({ scenario: { name: "file", scenarios } });
    running.push(model);
    const text = async (fields: object) => joined(await events(await post(model, fields)), "text");
    expect(await text({ tools: [{ name: "task" }, { name: "mcp__x" }] })).toBe("tools");
    expect(
      await text({
        messages: [user("begin"), { role: "assistant", content: "?" }, user([{ type: "text", text: "end" }])],
      }),
    ).toBe("first");
    expect(
      await text({
        system: [
          { type: "text", text: "Hello." },
          { type: "text", text: "You are B." },
        ],
      }),
    ).toBe("system");
    expect(await text({ model: "claude-haiku" })).toBe("model");
    const refused = await post(model, { tools: [{ name: "task" }] });
    expect(refused.status).toBe(400);
    const { type, message } = await errorOf(refused);
    expect(type).toBe("invalid_request_error");
    expect(message).toContain('No scenario of "file" matches this request (last human message "hi")');
    expect(message).toContain('Missed: "tools" by its tools rule {"regex":"^mcp__"}; "first" by its human rule');
  });

  it("takes figures from the results of the real run", async () => {
    const args = { command: 'echo {{ result("execute", "mean=([0-9.]+)") }}', nested: [{ at: "{{ dir }}/x" }] };
    const model = await start([{ text: "-" }, { toolCalls: [{ name: "execute", args }] }], {
      capture: { dir: { from: "system", pattern: "directory: (\\S+)" } },
    });
    const messages = [user("hi"), call("c"), result("c", [{ type: "text", text: "n=2\nmean=4.5" }])];
    const all = await events(await post(model, { system: "Working directory: /w", messages }));
    expect(JSON.parse(joined(all, "partial_json"))).toEqual({ command: "echo 4.5", nested: [{ at: "/w/x" }] });

    const refused = await post(model, { system: "", messages: [user("hi"), call("c"), result("c", "no mean")] });
    expect(refused.status).toBe(400);
    expect((await errorOf(refused)).message).toBe(
      'Scenario "only", turn 1, toolCalls.0.args.command: {{ result("execute", "mean=([0-9.]+)") }} found nothing in last result of execute "no mean"',
    );
  });

  it("is an error past the last turn", async () => {
    const model = await start([{ text: "-" }]);
    const refused = await post(model, { messages: [user("hi"), call("c"), result("c", "r")] });
    expect(refused.status).toBe(400);
    expect((await errorOf(refused)).message).toContain('Scenario "only" has 1 turns and is asked for turn 1');
  });
});

describe("what the real API refuses", () => {
  const invalid = [400, "invalid_request_error"] as const;
  const orphan = "messages.1: unexpected `tool_use_id` found in `tool_result` blocks: c";
  const unanswered = "messages.1: `tool_use` ids were found without `tool_result` blocks immediately after: c";
  it.each([
    { what: "no key", without: "x-api-key", expected: [401, "authentication_error", "x-api-key header is required"] },
    {
      what: "no version",
      without: "anthropic-version",
      expected: [...invalid, "anthropic-version: header is required"],
    },
    { what: "no messages", fields: { messages: [] }, expected: [...invalid, "messages: "] },
    { what: "no max_tokens", fields: { max_tokens: undefined }, expected: [...invalid, "max_tokens: "] },
    {
      what: "an unanswered call",
      fields: { messages: [user("a"), call("c"), user("b")] },
      expected: [...invalid, unanswered],
    },
    { what: "a call at the end", fields: { messages: [user("a"), call("c")] }, expected: [...invalid, unanswered] },
    {
      what: "a result of nothing",
      fields: { messages: [user("a"), result("c", "r")] },
      expected: [...invalid, orphan],
    },
  ])("is refused: $what", async ({ fields, without, expected: [status, type, message] }) => {
    const model = await start([{ text: "-" }]);
    const kept = Object.entries(headers).filter(([name]) => name !== without);
    const response = await post(model, fields, { headers: Object.fromEntries(kept) });
    expect(response.status).toBe(status);
    const error = await errorOf(response);
    expect(error.type).toBe(type);
    expect(error.message).toContain(message);
  });

  it("answers bodies that are no JSON or too long, and paths it does not know", async () => {
    const model = await start([{ text: "-" }]);
    const broken = await post(model, {}, { body: "{" });
    expect([broken.status, (await errorOf(broken)).type]).toEqual([400, "invalid_request_error"]);
    const long = await post(model, {}, { body: `"${"x".repeat(32 * 1024 * 1024)}"` });
    expect([long.status, (await errorOf(long)).type]).toEqual([413, "request_too_large"]);
    const lost = await fetch(`${model.url}/v2/messages`, { headers });
    expect([lost.status, (await errorOf(lost)).type]).toEqual([404, "not_found_error"]);
  });
});

describe("other endpoints", () => {
  it("list models and count tokens", async () => {
    const model = await startScriptedModel({
      scenario: { name: "file", models: ["a", "b"], scenarios: [{ name: "s", turns: [{ text: "t" }] }] },
    });
    running.push(model);
    const get = async (path: string, init: RequestInit = {}) =>
      (await fetch(model.url + path, { headers, ...init })).json();
    const list = await get("/v1/models");
    expect(list).toMatchObject({
      data: [{ type: "model", id: "a" }, { id: "b" }],
      has_more: false,
      first_id: "a",
      last_id: "b",
    });
    expect(await get("/v1/models/b")).toMatchObject({ type: "model", id: "b" });
    expect(await get("/v1/models/c")).toMatchObject({ error: { type: "not_found_error", message: "model: c" } });
    const counted = await get("/v1/messages/count_tokens", {
      method: "POST",
      body: JSON.stringify({ messages: [user("x".repeat(400))] }),
    });
    expect(counted).toEqual({ input_tokens: 111 });
  });
});

describe("misbehaviour", () => {
  it("fails as often as asked in each conversation, then answers", async () => {
    const model = await start([{ error: { status: 429, retryAfter: 3, times: 2 }, text: "well" }]);
    for (const messages of [[user("a")], [user("b")]]) {
      for (const _ of [1, 2]) {
        const response = await post(model, { messages });
        expect([response.status, response.headers.get("retry-after")]).toEqual([429, "3"]);
        expect(await errorOf(response)).toEqual({
          type: "rate_limit_error",
          message: 'Scripted failure of scenario "only"',
        });
      }
      expect(joined(await events(await post(model, { messages })), "text")).toBe("well");
    }
  });

  it.each([
    [401, undefined, "authentication_error"],
    [500, undefined, "api_error"],
    [529, undefined, "overloaded_error"],
    [503, "own_error", "own_error"],
  ])("answers %i, always", async (status, type, expected) => {
    const model = await start([{ error: { status, type, message: "no" } }]);
    for (const _ of [1, 2, 3]) {
      const response = await post(model);
      expect(response.status).toBe(status);
      expect(await errorOf(response)).toEqual({ type: expected, message: "no" });
    }
  });

  it("fails inside a stream that began well", async () => {
    const model = await start([{ text: "abcdef", chunkSize: 2, error: { status: 529, afterChunks: 2 } }]);
    const all = await events(await post(model));
    expect(joined(all, "text")).toBe("abcd");
    expect(all.at(-1)).toMatchObject({ event: "error", data: { error: { type: "overloaded_error" } } });
    expect(all.map(({ event }) => event)).not.toContain("message_stop");
  });

  it("cuts the connection in mid-answer", async () => {
    const model = await start([{ text: "abcdef", chunkSize: 2, cut: { afterChunks: 2, times: 1 } }]);
    const response = await post(model);
    let text = "";
    const decoder = new TextDecoder();
    const reading = (async () => {
      for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) text += decoder.decode(chunk);
    })();
    await expect(reading).rejects.toThrow("terminated");
    expect(joined(parseEvents(text), "text")).toBe("abcd");
    expect(model.requests[0]?.outcome).toBe("cut");
    expect(joined(await events(await post(model)), "text")).toBe("abcdef");
  });

  it("sends slowly, and stops when the client leaves", async () => {
    const model = await start([{ text: "abcdef", chunkSize: 1, chunkDelayMs: 600_000 }]);
    const leave = new AbortController();
    const response = await post(model, {}, { signal: leave.signal });
    expect(response.status).toBe(200);
    expect(model.requests[0]?.outcome).toBe("open");
    leave.abort();
    await vi.waitFor(() => expect(model.requests[0]?.outcome).toBe("abandoned"));
  });

  it("closes answers in flight when it is closed", async () => {
    const model = await start([{ text: "abcdef", chunkDelayMs: 600_000 }]);
    const response = await post(model);
    await Promise.all([model.close(), model.close()]);
    await expect(response.text()).rejects.toThrow("terminated");
    await expect(post(model)).rejects.toThrow("fetch failed");
    expect(model.requests[0]?.outcome).toBe("abandoned");
  });
});

describe("the server", () => {
  it("records requests without their keys, the newest only", async () => {
    const model = await startScriptedModel({
      scenario: { name: "file", scenarios: [{ name: "s", turns: [{ text: "t" }] }] },
      keepRequests: 2,
    });
    running.push(model);
    for (const text of ["a", "b", "c"]) await (await post(model, { messages: [user(text)] })).text();
    expect(
      model.requests.map(({ body }) => (body as { messages: { content: string }[] }).messages[0]?.content),
    ).toEqual(["b", "c"]);
    await vi.waitFor(() =>
      expect(model.requests[1]).toMatchObject({
        method: "POST",
        path: "/v1/messages",
        scenario: "s",
        turn: 0,
        status: 200,
        outcome: "answered",
      }),
    );
    expect(JSON.stringify(model.requests)).not.toContain("secret-key");
  });

  it("listens on loopback only", async () => {
    const scenario: ScenarioFile = { name: "file", scenarios: [{ name: "s", turns: [{ text: "t" }] }] };
    await expect(startScriptedModel({ scenario, host: "0.0.0.0" })).rejects.toMatchObject({
      code: "host-not-loopback",
    });
  });

  it("says that a port is taken", async () => {
    const { port } = await start([{ text: "t" }]);
    const scenario: ScenarioFile = { name: "file", scenarios: [{ name: "s", turns: [{ text: "t" }] }] };
    await expect(startScriptedModel({ scenario, port })).rejects.toMatchObject({ code: "EADDRINUSE" });
  });
});
