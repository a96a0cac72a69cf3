import { createHash } from "node:crypto";
import { chunkText, estimateTokens, stopsForTools, type Reply, type ReplyPart } from "../reply.ts";
import { ScriptedModelError } from "../errors.ts";
import type { FailureReason } from "../scenario/scenario.ts";
import { parseMessagesRequest, requireHeaders } from "./anthropic-request.ts";
import type { Failure, Frame, Protocol } from "./protocol.ts";

// The Messages API: https://docs.anthropic.com/en/api/messages and …/messages-streaming.

const errorTypes: Readonly<Record<number, string>> = {
  400: "invalid_request_error",
  401: "authentication_error",
  403: "permission_error",
  404: "not_found_error",
  413: "request_too_large",
  429: "rate_limit_error",
  529: "overloaded_error",
};

const failures = (model: string): Readonly<Record<FailureReason, Failure>> => ({
  "bad-key": { status: 401, message: "invalid x-api-key" },
  "no-such-model": { status: 404, message: `model: ${model}` },
  "context-too-long": { status: 400, message: "prompt is too long: 250000 tokens > 200000 maximum" },
  refused: { status: 400, message: "Output blocked by content filtering policy" },
  "out-of-credit": {
    status: 400,
    message: "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to upgrade.",
  },
  "rate-limited": { status: 429, message: "This request would exceed your organization's rate limit" },
  overloaded: { status: 529, message: "Overloaded" },
  broken: { status: 500, message: "Internal server error" },
});

export const anthropic: Protocol = {
  idPrefixes: { message: "msg_", call: "toolu_" },
  route(method, path, headers) {
    if (method === "POST" && path === "/v1/messages") return { kind: "chat", parse: parseMessagesRequest };
    if (method === "POST" && path === "/v1/messages/count_tokens") {
      return {
        kind: "lookup",
        answer({ body, headers }) {
          requireHeaders(headers);
          return { input_tokens: estimateTokens(JSON.stringify(body ?? {}).length) };
        },
      };
    }
    // The same path as OpenAI's, whose clients send a bearer token and no version.
    if (headers.authorization && !headers["x-api-key"] && !headers["anthropic-version"]) return undefined;
    if (method === "GET" && path === "/v1/models") {
      return {
        kind: "lookup",
        answer({ models, headers }) {
          requireHeaders(headers);
          return { data: models.map(modelInfo), has_more: false, first_id: models[0], last_id: models.at(-1) };
        },
      };
    }
    const id = method === "GET" && /^\/v1\/models\/([^/]+)$/.exec(path)?.[1];
    if (!id) return undefined;
    return {
      kind: "lookup",
      answer({ models, headers }) {
        requireHeaders(headers);
        if (models.includes(id)) return modelInfo(id);
        throw new ScriptedModelError("not-found", `model: ${id}`);
      },
    };
  },
  encodeFailure,
  describeFailure: (reason, model) => failures(model)[reason],
  malformedFrame: 'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"del\n\n',
  streamType: "text/event-stream; charset=utf-8",
  encodeStream,
  encodeStreamFailure: (failure) => event("error", encodeFailure(failure)),
  encodeWhole: (reply) => ({
    ...messageHead(reply),
    content: reply.parts.map(wholeBlock),
    stop_reason: stopReason(reply),
    usage: usage(reply, reply.usage.output),
  }),
};

function encodeFailure({ status, type, message }: Failure): { type: "error"; [field: string]: unknown } {
  return { type: "error", error: { type: type ?? errorTypes[status] ?? "api_error", message } };
}

function* encodeStream(reply: Reply): Generator<Frame> {
  // As the real API does: one output token at the start, the sum at the end.
  yield frame("message_start", { message: { ...messageHead(reply), usage: usage(reply, 1) } });
  for (const [index, part] of reply.parts.entries()) {
    yield frame("content_block_start", { index, content_block: emptyBlock(part) });
    if (index === 0) yield frame("ping", {});
    for (const delta of deltas(part, reply.chunkSize)) {
      yield { bytes: event("content_block_delta", { type: "content_block_delta", index, delta }), kind: "piece" };
    }
    if (part.type === "thinking") {
      const delta = { type: "signature_delta", signature: signature(part.text) };
      yield frame("content_block_delta", { index, delta });
    }
    yield frame("content_block_stop", { index });
  }
  const delta = { stop_reason: stopReason(reply), stop_sequence: null };
  yield end("message_delta", { delta, usage: usage(reply, reply.usage.output) });
  yield end("message_stop", {});
}

function* deltas(part: ReplyPart, size: number): Generator<Record<string, string>> {
  if (part.type === "toolCall") {
    yield { type: "input_json_delta", partial_json: "" };
    for (const piece of chunkText(JSON.stringify(part.args), size)) {
      yield { type: "input_json_delta", partial_json: piece };
    }
  } else {
    for (const piece of chunkText(part.text, size)) yield { type: `${part.type}_delta`, [part.type]: piece };
  }
}

function frame(type: string, fields: Record<string, unknown>): Frame {
  return { bytes: event(type, { type, ...fields }), kind: "frame" };
}

function end(type: string, fields: Record<string, unknown>): Frame {
  return { ...frame(type, fields), kind: "end" };
}

function event(type: string, data: unknown): string {
  return `event: ${type}\ndata: ${JSON.stringify(data)}\n\n`;
}

function messageHead(reply: Reply): Record<string, unknown> {
  return {
    id: reply.id,
    type: "message",
    role: "assistant",
    model: reply.model,
    content: [],
    stop_reason: null,
    stop_sequence: null,
  };
}

function emptyBlock(part: ReplyPart): Record<string, unknown> {
  if (part.type === "toolCall") return { type: "tool_use", id: part.id, name: part.name, input: {} };
  return part.type === "thinking" ? { type: "thinking", thinking: "", signature: "" } : { type: "text", text: "" };
}

function wholeBlock(part: ReplyPart): Record<string, unknown> {
  if (part.type === "toolCall") return { type: "tool_use", id: part.id, name: part.name, input: part.args };
  return part.type === "thinking"
    ? { type: "thinking", thinking: part.text, signature: signature(part.text) }
    : { type: "text", text: part.text };
}

// Clients must send it back as it came; nobody but the real API can check it.
function signature(thinking: string): string {
  return createHash("sha256").update(thinking).digest("base64");
}

function stopReason(reply: Reply): string {
  if (reply.refusal !== undefined) return "refusal";
  return stopsForTools(reply) ? "tool_use" : "end_turn";
}

function usage(reply: Reply, output: number): Record<string, number> {
  return {
    input_tokens: reply.usage.input,
    cache_creation_input_tokens: 0,
    cache_read_input_tokens: 0,
    output_tokens: output,
  };
}

function modelInfo(id: string): Record<string, string> {
  return { type: "model", id, display_name: id, created_at: "2025-01-01T00:00:00Z" };
}
