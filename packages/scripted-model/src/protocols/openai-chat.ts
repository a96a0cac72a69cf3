import { ScriptedModelError } from "../errors.ts";
import { chunkText, stopsForTools, type Reply } from "../reply.ts";
import { parseChatRequest } from "./openai-chat-request.ts";
import { created, describeOpenAiFailure, encodeOpenAiFailure, requireBearer } from "./openai-errors.ts";
import type { ChatRequest, Frame, Protocol } from "./protocol.ts";

// Chat Completions: https://platform.openai.com/docs/api-reference/chat and …/chat-streaming. Reasoning is told as compatible
// servers do (`reasoning_content`): OpenAI's own tells none of it here.

export const openaiChat: Protocol = {
  idPrefixes: { message: "chatcmpl-", call: "call_" },
  route(method, path) {
    if (method === "POST" && path === "/v1/chat/completions") return { kind: "chat", parse: parseChatRequest };
    if (method === "GET" && path === "/v1/models") {
      return {
        kind: "lookup",
        answer({ models, headers }) {
          requireBearer(headers);
          return { object: "list", data: models.map(modelInfo) };
        },
      };
    }
    const id = method === "GET" && /^\/v1\/models\/([^/]+)$/.exec(path)?.[1];
    if (!id) return undefined;
    return {
      kind: "lookup",
      answer({ models, headers }) {
        requireBearer(headers);
        if (models.includes(id)) return modelInfo(id);
        throw new ScriptedModelError("not-found", `The model '${id}' does not exist`);
      },
    };
  },
  encodeFailure: encodeOpenAiFailure,
  describeFailure: describeOpenAiFailure,
  streamType: "text/event-stream; charset=utf-8",
  encodeStream,
  malformedFrame: 'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","choi\n\n',
  encodeStreamFailure: (failure) => data(encodeOpenAiFailure(failure)),
  encodeWhole: (reply) => ({
    id: reply.id,
    object: "chat.completion",
    created,
    model: reply.model,
    choices: [{ index: 0, message: wholeMessage(reply), logprobs: null, finish_reason: finishReason(reply) }],
    usage: usage(reply),
  }),
};

function* encodeStream(reply: Reply, { streamUsage }: ChatRequest): Generator<Frame> {
  yield frame(reply, { role: "assistant", content: "", refusal: null });
  let call = 0;
  for (const part of reply.parts) {
    if (part.type === "toolCall") {
      const { id, name } = part;
      yield frame(reply, { tool_calls: [{ index: call, id, type: "function", function: { name, arguments: "" } }] });
      for (const piece of chunkText(JSON.stringify(part.args), reply.chunkSize)) {
        yield pieceOf(reply, { tool_calls: [{ index: call, function: { arguments: piece } }] });
      }
      call += 1;
    } else {
      const field = part.type === "thinking" ? "reasoning_content" : "content";
      for (const piece of chunkText(part.text, reply.chunkSize)) yield pieceOf(reply, { [field]: piece });
    }
  }
  for (const piece of chunkText(reply.refusal ?? "", reply.chunkSize)) yield pieceOf(reply, { refusal: piece });
  yield { bytes: chunk(reply, [choice({}, finishReason(reply))]), kind: "end" };
  if (streamUsage === true) yield { bytes: chunk(reply, [], usage(reply)), kind: "end" };
  yield { bytes: "data: [DONE]\n\n", kind: "end" };
}

function frame(reply: Reply, delta: object): Frame {
  return { bytes: chunk(reply, [choice(delta, null)]), kind: "frame" };
}

function pieceOf(reply: Reply, delta: object): Frame {
  return { bytes: chunk(reply, [choice(delta, null)]), kind: "piece" };
}

function choice(delta: object, finish: string | null): object {
  return { index: 0, delta, logprobs: null, finish_reason: finish };
}

function chunk(reply: Reply, choices: readonly object[], used?: object): string {
  const { id, model } = reply;
  return data({ id, object: "chat.completion.chunk", created, model, choices, ...(used && { usage: used }) });
}

function data(value: unknown): string {
  return `data: ${JSON.stringify(value)}\n\n`;
}

function wholeMessage(reply: Reply): Record<string, unknown> {
  const text = reply.parts.filter((part) => part.type === "text").map((part) => part.text);
  const thinking = reply.parts.filter((part) => part.type === "thinking").map((part) => part.text);
  const calls = reply.parts.filter((part) => part.type === "toolCall");
  return {
    role: "assistant",
    content: text.length === 0 ? null : text.join(""),
    refusal: reply.refusal ?? null,
    ...(thinking.length > 0 && { reasoning_content: thinking.join("") }),
    ...(calls.length > 0 && {
      tool_calls: calls.map(({ id, name, args }) => ({
        id,
        type: "function",
        function: { name, arguments: JSON.stringify(args) },
      })),
    }),
  };
}

function finishReason(reply: Reply): string {
  return stopsForTools(reply) && reply.refusal === undefined ? "tool_calls" : "stop";
}

function usage({ usage: { input, output, reasoning } }: Reply): Record<string, unknown> {
  return {
    prompt_tokens: input,
    completion_tokens: output,
    total_tokens: input + output,
    prompt_tokens_details: { cached_tokens: 0, audio_tokens: 0 },
    completion_tokens_details: { reasoning_tokens: reasoning, audio_tokens: 0 },
  };
}

function modelInfo(id: string): Record<string, unknown> {
  return { id, object: "model", created, owned_by: "scripted-model" };
}
