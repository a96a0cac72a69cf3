import { chunkText, type Reply, type ReplyPart } from "../reply.ts";
import { created, describeOpenAiFailure, encodeOpenAiFailure } from "./openai-errors.ts";
import { parseResponsesRequest } from "./openai-responses-request.ts";
import type { Frame, Protocol } from "./protocol.ts";

// The Responses API: https://platform.openai.com/docs/api-reference/responses and …/responses-streaming.

export const openaiResponses: Protocol = {
  idPrefixes: { message: "resp_", call: "call_" },
  route(method, path) {
    return method === "POST" && path === "/v1/responses" ? { kind: "chat", parse: parseResponsesRequest } : undefined;
  },
  encodeFailure: encodeOpenAiFailure,
  describeFailure: describeOpenAiFailure,
  streamType: "text/event-stream; charset=utf-8",
  encodeStream,
  malformedFrame: 'event: response.output_text.delta\ndata: {"type":"response.output_te\n\n',
  encodeStreamFailure(failure) {
    const { error } = encodeOpenAiFailure(failure);
    return event("error", { ...error, code: error["code"] ?? error["type"], type: "error" });
  },
  encodeWhole: (reply) => whole(reply, "completed"),
};

type Item = Record<string, unknown>;

function* encodeStream(reply: Reply): Generator<Frame> {
  let sequence = 0;
  const send = (type: string, fields: object, kind: Frame["kind"] = "frame"): Frame => {
    const bytes = event(type, { type, sequence_number: sequence, ...fields });
    sequence += 1;
    return { bytes, kind };
  };
  yield send("response.created", { response: whole(reply, "in_progress") });
  yield send("response.in_progress", { response: whole(reply, "in_progress") });
  for (const [index, part] of partsOf(reply).entries()) {
    const item = itemOf(reply, part, index);
    const at = { item_id: item["id"], output_index: index };
    yield send("response.output_item.added", { output_index: index, item: { ...item, ...emptyOf(part) } });
    for (const { type, fields, kind } of inside(part, reply.chunkSize)) yield send(type, { ...at, ...fields }, kind);
    yield send("response.output_item.done", { output_index: index, item });
  }
  yield send("response.completed", { response: whole(reply, "completed") }, "end");
}

type Part = ReplyPart | { readonly type: "refusal"; readonly text: string };

function partsOf({ parts, refusal }: Reply): readonly Part[] {
  return refusal === undefined ? parts : [...parts, { type: "refusal", text: refusal }];
}

interface Inside {
  readonly type: string;
  readonly fields: object;
  readonly kind?: Frame["kind"];
}

/** What is said of an item between its beginning and its end. */
function* inside(part: Part, size: number): Generator<Inside> {
  if (part.type === "toolCall") {
    const text = JSON.stringify(part.args);
    for (const delta of chunkText(text, size)) {
      yield { type: "response.function_call_arguments.delta", fields: { delta }, kind: "piece" };
    }
    yield { type: "response.function_call_arguments.done", fields: { arguments: text } };
    return;
  }
  const { prefix, place, field, whole: holder } = words[part.type];
  const event = (suffix: string): string => `response.${prefix}${suffix}`;
  yield { type: `response.${holder}.added`, fields: { ...place, part: contentOf(part, "") } };
  for (const delta of chunkText(part.text, size)) {
    yield { type: event(".delta"), fields: { ...place, delta }, kind: "piece" };
  }
  yield { type: event(".done"), fields: { ...place, [field]: part.text } };
  yield { type: `response.${holder}.done`, fields: { ...place, part: contentOf(part, part.text) } };
}

const inMessage = { place: { content_index: 0 }, whole: "content_part" };
const words = {
  text: { ...inMessage, prefix: "output_text", field: "text" },
  refusal: { ...inMessage, prefix: "refusal", field: "refusal" },
  thinking: {
    prefix: "reasoning_summary_text",
    field: "text",
    place: { summary_index: 0 },
    whole: "reasoning_summary_part",
  },
};

function contentOf({ type }: Part, text: string): Item {
  if (type === "refusal") return { type: "refusal", refusal: text };
  return type === "thinking" ? { type: "summary_text", text } : { type: "output_text", text, annotations: [] };
}

function itemOf(reply: Reply, part: Part, index: number): Item {
  const id = `${reply.id.replace(/^resp_/, "")}${index}`;
  if (part.type === "toolCall") {
    const { id: callId, name, args } = part;
    const item = { id: `fc_${id}`, type: "function_call", status: "completed" };
    return { ...item, arguments: JSON.stringify(args), call_id: callId, name };
  }
  if (part.type === "thinking") return { id: `rs_${id}`, type: "reasoning", summary: [contentOf(part, part.text)] };
  const item = { id: `msg_${id}`, type: "message", status: "completed", role: "assistant" };
  return { ...item, content: [contentOf(part, part.text)] };
}

function emptyOf(part: Part): Item {
  if (part.type === "toolCall") return { arguments: "", status: "in_progress" };
  return part.type === "thinking" ? { summary: [] } : { content: [], status: "in_progress" };
}

function whole(reply: Reply, status: "in_progress" | "completed"): Item {
  const { input, output, reasoning } = reply.usage;
  const items = partsOf(reply).map((part, index) => itemOf(reply, part, index));
  return {
    id: reply.id,
    object: "response",
    created_at: created,
    status,
    error: null,
    incomplete_details: null,
    model: reply.model,
    output: status === "completed" ? items : [],
    parallel_tool_calls: true,
    usage:
      status === "completed"
        ? {
            input_tokens: input,
            input_tokens_details: { cached_tokens: 0 },
            output_tokens: output,
            output_tokens_details: { reasoning_tokens: reasoning },
            total_tokens: input + output,
          }
        : null,
  };
}

function event(type: string, value: unknown): string {
  return `event: ${type}\ndata: ${JSON.stringify(value)}\n\n`;
}
