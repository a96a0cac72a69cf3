import { z } from "zod";
import { ScriptedModelError } from "../errors.ts";
import { chunkText, type Reply } from "../reply.ts";
import type { FailureReason } from "../scenario/scenario.ts";
import { parseOllamaRequest } from "./ollama-request.ts";
import type { Failure, Frame, Protocol } from "./protocol.ts";

// Ollama's own API: https://github.com/ollama/ollama/blob/main/docs/api.md. It needs no key, streams lines of JSON, sends
// tool calls whole and without ids, and has no form for refusals: they are text.

const createdAt = "2025-01-01T00:00:00Z";

const failures = (model: string): Readonly<Record<FailureReason, Failure>> => ({
  "bad-key": { status: 401, message: "unauthorized" },
  "no-such-model": { status: 404, message: `model "${model}" not found, try pulling it first` },
  "context-too-long": { status: 400, message: "the input length exceeds the context length" },
  refused: { status: 400, message: "the request was rejected by a content policy" },
  "out-of-credit": { status: 402, message: "you have reached your usage limit, please upgrade" },
  "rate-limited": { status: 429, message: "too many requests" },
  overloaded: { status: 503, message: "server busy, please try again. maximum pending requests exceeded" },
  broken: { status: 500, message: "llama runner process has terminated: exit status 2" },
});

export const ollama: Protocol = {
  idPrefixes: { message: "ollama-", call: "call_" },
  route(method, path) {
    if (method === "POST" && path === "/api/chat") return { kind: "chat", parse: parseOllamaRequest };
    if (method === "GET" && path === "/api/version") return { kind: "lookup", answer: () => ({ version: "0.12.0" }) };
    if (method === "GET" && path === "/api/tags") {
      return { kind: "lookup", answer: ({ models }) => ({ models: models.map(modelInfo) }) };
    }
    if (method !== "POST" || path !== "/api/show") return undefined;
    return {
      kind: "lookup",
      answer({ models, body }) {
        const { model = "" } = z.looseObject({ model: z.string().optional() }).parse(body ?? {});
        if (!models.includes(model)) throw new ScriptedModelError("not-found", `model '${model}' not found`);
        const { details } = modelInfo(model);
        return { details, model_info: {}, capabilities: ["completion", "tools", "thinking", "vision"] };
      },
    };
  },
  encodeFailure: ({ message }) => ({ error: message }),
  describeFailure: (reason, model) => failures(model)[reason],
  streamType: "application/x-ndjson",
  encodeStream,
  malformedFrame: '{"model":"m","message":{"role":"assist\n',
  encodeStreamFailure: ({ message }) => line({ error: message }),
  encodeWhole: (reply) => ({
    ...head(reply),
    message: {
      role: "assistant",
      content: textOf(reply, "text") + (reply.refusal ?? ""),
      ...(textOf(reply, "thinking") !== "" && { thinking: textOf(reply, "thinking") }),
      ...(callsOf(reply).length > 0 && { tool_calls: callsOf(reply) }),
    },
    ...ending(reply),
  }),
};

function* encodeStream(reply: Reply): Generator<Frame> {
  const piece = (fields: object): Frame => ({
    bytes: line({ ...head(reply), message: { role: "assistant", content: "", ...fields }, done: false }),
    kind: "piece",
  });
  for (const part of reply.parts) {
    if (part.type === "toolCall") continue;
    const field = part.type === "thinking" ? "thinking" : "content";
    for (const text of chunkText(part.text, reply.chunkSize)) yield piece({ [field]: text });
  }
  for (const call of callsOf(reply)) yield piece({ tool_calls: [call] });
  for (const text of chunkText(reply.refusal ?? "", reply.chunkSize)) yield piece({ content: text });
  yield { bytes: line({ ...head(reply), message: { role: "assistant", content: "" }, ...ending(reply) }), kind: "end" };
}

function head({ model }: Reply): object {
  return { model, created_at: createdAt };
}

function ending({ usage: { input, output } }: Reply): object {
  return {
    done_reason: "stop",
    done: true,
    total_duration: 1_000_000,
    load_duration: 0,
    prompt_eval_count: input,
    prompt_eval_duration: 500_000,
    eval_count: output,
    eval_duration: 500_000,
  };
}

function textOf(reply: Reply, type: "text" | "thinking"): string {
  return reply.parts.map((part) => (part.type === type ? part.text : "")).join("");
}

function callsOf(reply: Reply): object[] {
  return reply.parts.flatMap((part) =>
    part.type === "toolCall" ? [{ function: { name: part.name, arguments: part.args } }] : [],
  );
}

function line(value: unknown): string {
  return `${JSON.stringify(value)}\n`;
}

function modelInfo(name: string): Record<string, unknown> {
  const details = { format: "gguf", family: "scripted", parameter_size: "0B", quantization_level: "F16" };
  return { name, model: name, modified_at: createdAt, size: 0, digest: "0".repeat(64), details };
}
