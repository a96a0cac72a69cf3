import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { BaseMessage } from "@langchain/core/messages";
import type { Scenario } from "@stigmer/scripted-model";
import { afterEach, describe, expect, it, vi } from "vitest";
import { collect, openWorkbench, type Workbench } from "../__fixtures__/workbench.ts";
import type { AgentEvent } from "../agent.ts";
import type { ModelConfig } from "./model-config.ts";

// The same scenario over every protocol: the same run. The real graph, tools and provider clients; HTTP is where it ends.
let bench: Workbench;
afterEach(() => bench[Symbol.asyncDispose]());

const protocols: Readonly<Record<string, (url: string) => ModelConfig>> = {
  "Anthropic Messages": (baseUrl) => ({
    provider: "anthropic",
    model: "claude-sonnet-4-5",
    apiKey: "test-key",
    baseUrl,
  }),
  "OpenAI Chat Completions": (url) => ({
    provider: "openai",
    model: "gpt-5.5",
    apiKey: "test-key",
    baseUrl: `${url}/v1`,
  }),
  "OpenAI Responses": (url) => ({ provider: "openai", model: "gpt-5.6", apiKey: "test-key", baseUrl: `${url}/v1` }),
  Ollama: (baseUrl) => ({ provider: "ollama", model: "qwen2.5-coder:7b", baseUrl }),
};
const names = Object.keys(protocols);

async function run(name: string, scenarios: readonly Scenario[], prepare?: () => Promise<void>) {
  bench = await openWorkbench(scenarios);
  await prepare?.();
  const model = protocols[name]!(bench.model.url);
  const agent = await bench.agent({
    model,
    subAgents: [{ name: "writer", description: "Writes.", instructions: "You write files." }],
  });
  const request = { threadId: "t", runId: "r", input: "Go." };
  const events = await collect(await agent.open(request));
  const { messages } = await agent.open(request);
  return { events, messages };
}

/** What was said and done, without what providers differ in: ids, and the form of their content. */
function story(messages: readonly BaseMessage[]): unknown[] {
  return messages.map((message) => {
    const calls = (message as { tool_calls?: { name: string; args: object }[] }).tool_calls ?? [];
    const { name, status } = message as { name?: string; status?: string };
    const text = message.text.replaceAll(bench.sandbox.root, "<root>").replace(/\[Duration: .*\]/, "");
    const said = { type: message.type, ...(message.type === "tool" && { name, status }), text };
    return calls.length === 0 ? said : { ...said, calls: calls.map(({ name, args }) => ({ name, args })) };
  });
}

const png = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

const work: readonly Scenario[] = [
  {
    name: "writer",
    match: { system: "You write files." },
    turns: [
      { toolCalls: [{ name: "write_file", args: { file_path: "deep.txt", content: "deep\n" } }] },
      { text: "Wrote it." },
    ],
  },
  { name: "image", match: { human: "image that read_file returned" }, turns: [{ text: "A dot. All done." }] },
  {
    name: "main",
    turns: [
      {
        thinking: "A plan first.",
        toolCalls: [{ name: "write_todos", args: { todos: [{ content: "Write", status: "in_progress" }] } }],
      },
      {
        text: "Two at once.",
        toolCalls: [
          { name: "write_file", args: { file_path: "a.txt", content: "one\ntwo\n" } },
          { name: "execute", args: { command: "echo out; echo err >&2; exit 3" } },
        ],
      },
      {
        toolCalls: [
          { name: "read_file", args: { file_path: "a.txt" } },
          { name: "read_file", args: { file_path: "none.txt" } },
        ],
      },
      {
        toolCalls: [
          { name: "write_file", args: { wrong: true } },
          { name: "no_such_tool", args: {} },
        ],
      },
      {
        toolCalls: [
          { name: "task", args: { description: "Write deep.txt", subagent_type: "writer" } },
          { name: "task", args: { description: "Write deep.txt again", subagent_type: "writer" } },
        ],
      },
      { text: "And the image.", toolCalls: [{ name: "read_file", args: { file_path: "dot.png" } }] },
    ],
  },
];

describe.each(names)("%s", (name) => {
  it("does the same work as every other protocol", async () => {
    const { events, messages } = await run(name, work, () =>
      writeFile(join(bench.sandbox.root, "dot.png"), Buffer.from(png, "base64")),
    );
    await expect(`${JSON.stringify(story(messages), undefined, 2)}\n`).toMatchFileSnapshot("./__snapshots__/work.txt");
    // The image went once, in the provider's own form.
    const last = JSON.stringify(bench.model.requests.at(-1)?.body);
    expect(last.split(png)).toHaveLength(2);
    expect(last).not.toContain("mimeType");
    // Reasoning is read, in whichever form it came.
    expect(JSON.stringify(events)).toContain("A plan first.");
    expect(bench.model.requests.every(({ outcome }) => outcome === "answered")).toBe(true);
  });

  it("counts tokens as the provider does, and asks nobody else", async () => {
    const asked = vi.spyOn(globalThis, "fetch");
    const { messages } = await run(name, [{ name: "main", turns: [{ text: "Twenty characters..." }] }]);
    const hosts = new Set(
      asked.mock.calls.map(([input]) => new URL(input instanceof Request ? input.url : input).origin),
    );
    asked.mockRestore();
    expect([...hosts]).toEqual([bench.model.url]);
    const { usage_metadata: usage } = messages.at(-1) as {
      usage_metadata?: { input_tokens: number; output_tokens: number };
    };
    expect(usage?.input_tokens).toBeGreaterThan(100);
    // Anthropic's first piece counts one more.
    expect([5, 6]).toContain(usage?.output_tokens);
  });

  it.each([{ chunkDelayMs: 600_000 }, { cut: { afterChunks: 1, how: "silence" } }] as const)(
    "lets go of the socket when the run is aborted: %j",
    async (turn) => {
      bench = await openWorkbench([{ name: "main", turns: [{ text: "word ".repeat(10), ...turn }] }]);
      const opened = await (
        await bench.agent({ model: protocols[name]!(bench.model.url) })
      ).open({ threadId: "t", runId: "r", input: "Go." });
      const stop = new AbortController();
      const reason = new Error("enough");
      const ended = collect(opened, { signal: stop.signal }).catch((error: unknown) => error);
      const until = { timeout: 20_000, interval: 10 };
      await vi.waitUntil(() => bench.model.requests[0]?.status === 200, until);
      stop.abort(reason);
      expect(await ended).toBe(reason);
      await vi.waitUntil(() => bench.model.requests[0]?.outcome === "abandoned", until);
      expect(bench.model.requests).toHaveLength(1);
    },
  );
});

describe.each(names)("%s, when it fails for a while,", (name) => {
  const answer = { text: "Here I am at last." };
  const retriesOf = (events: readonly AgentEvent[]): Record<string, unknown>[] =>
    events.filter(({ mode }) => mode === "custom").map(({ data }) => data as Record<string, unknown>);

  it.each([
    ["overload", { error: { reason: "overloaded", times: 1 } }],
    ["a limit with a time in seconds", { error: { reason: "rate-limited", retryAfter: 0, times: 1 } }],
    ["a limit with a date", { error: { reason: "rate-limited", retryAfter: 0, retryAfterAs: "date", times: 1 } }],
    [
      "a limit in milliseconds",
      { error: { reason: "rate-limited", retryAfter: 0.01, retryAfterAs: "milliseconds", times: 1 } },
    ],
    ["500", { error: { reason: "broken", times: 1 } }],
    ["an error in mid-answer", { error: { reason: "overloaded", afterChunks: 1, times: 1 } }],
    ["a socket that closes", { cut: { afterChunks: 1, times: 1 } }],
    ["an answer that ends early", { cut: { afterChunks: 1, how: "end", times: 1 } }],
    ["an answer that turns malformed", { cut: { afterChunks: 1, how: "malformed", times: 1 } }],
  ] as const)("is asked again after %s", async (_, turn) => {
    const { events, messages } = await run(name, [{ name: "main", turns: [{ ...answer, ...turn }] }]);
    expect(messages.map(({ type, text }) => [type, text])).toEqual([
      ["human", "Go."],
      ["ai", answer.text],
    ]);
    expect(bench.model.requests).toHaveLength(2);
    const [retry, ...more] = retriesOf(events);
    expect(more).toEqual([]);
    expect(retry).toMatchObject({ type: "model_retry", attempt: 1, wait_ms: expect.any(Number) as number });
    // What streamed before is void, by the name it streamed under, and the whole answer has another.
    const said = events.flatMap(({ mode, data }) => (mode === "messages" ? [(data as [{ id: string }])[0].id] : []));
    const half = "cut" in turn || "afterChunks" in turn.error;
    expect(new Set(said).size).toBe(half ? 2 : 1);
    expect(retry!["message_id"]).toBe(half ? said[0] : undefined);
    expect(messages.at(-1)!.id).toBe(said.at(-1));
  });
});

describe.each(names)("%s, when it fails for good,", (name) => {
  it.each([
    ["bad-key", "model-auth", 1],
    ["no-such-model", "model-not-found", 1],
    // Asked once more with a shortened history, where the client tells what it is about.
    ["context-too-long", "context-too-long", name === "Ollama" ? 1 : 2],
    ["refused", "model-refused", 1],
    ["out-of-credit", "model-out-of-credit", 1],
    ["broken", "model-overloaded", 2],
  ] as const)("says so: %s", async (reason, code, requests) => {
    bench = await openWorkbench([{ name: "main", turns: [{ error: { reason } }] }]);
    const model = { ...protocols[name]!(bench.model.url), maxRetries: 1 };
    const opened = await (await bench.agent({ model })).open({ threadId: "t", runId: "r", input: "Go." });
    await expect(collect(opened)).rejects.toMatchObject({
      name: "AgentError",
      code,
      message: expect.stringContaining(`${model.model} (${model.provider})`) as string,
    });
    expect(bench.model.requests).toHaveLength(requests);
  });

  it("tells a page from an answer", async () => {
    const page = { status: 200, contentType: "text/html", message: "Log in" } as const;
    await expect(run(name, [{ name: "main", turns: [{ error: page }] }])).rejects.toMatchObject({
      code: "model-bad-answer",
      message: expect.stringContaining("answers with text/html") as string,
    });
    expect(bench.model.requests).toHaveLength(1);
  });

  it.skipIf(name === "Ollama")("takes a refusal for what it is", async () => {
    const refusal = "I can't help with that.";
    await expect(run(name, [{ name: "main", turns: [{ refusal }] }])).rejects.toMatchObject({ code: "model-refused" });
    expect(bench.model.requests).toHaveLength(1);
  });

  it("does not sit out a wait when the run is cancelled", async () => {
    bench = await openWorkbench([{ name: "main", turns: [{ error: { reason: "rate-limited", retryAfter: 600 } }] }]);
    const model = protocols[name]!(bench.model.url);
    const opened = await (await bench.agent({ model })).open({ threadId: "t", runId: "r", input: "Go." });
    const stop = new AbortController();
    const reason = new Error("enough");
    let wait: unknown;
    const reading = async (): Promise<void> => {
      for await (const { mode, data } of opened.events({ signal: stop.signal })) {
        if (mode !== "custom") continue;
        wait = (data as { wait_ms: number }).wait_ms;
        stop.abort(reason);
      }
    };
    await expect(reading()).rejects.toBe(reason);
    // Ten minutes are asked for; one is the most.
    expect(wait).toBe(60_000);
    expect(bench.model.requests).toHaveLength(1);
  });
});
