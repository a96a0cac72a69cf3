import type { IncomingHttpHeaders } from "node:http";
import { z } from "zod";
import type { Message } from "../conversation.ts";
import { ScriptedModelError } from "../errors.ts";
import { requireBearer } from "./openai-errors.ts";
import type { ChatRequest } from "./protocol.ts";

// Objects are open, but kinds of content are not: the real API refuses one that it does not know.
const textPart = z.looseObject({ type: z.literal("text"), text: z.string() });
const imagePart = z.looseObject({ type: z.literal("image_url"), image_url: z.looseObject({ url: z.string().min(1) }) });
const otherPart = z.looseObject({ type: z.enum(["refusal", "input_audio", "file"]) });
const content = z.union([z.string(), z.array(z.union([textPart, imagePart, otherPart]))]);
// A tool's result is text: images of it belong into a user message.
const resultContent = z.union([z.string(), z.array(textPart)]);

const toolCall = z.looseObject({
  id: z.string().min(1),
  type: z.literal("function"),
  function: z.looseObject({ name: z.string(), arguments: z.string() }),
});

const message = z.discriminatedUnion("role", [
  z.looseObject({ role: z.enum(["system", "developer", "user"]), content }),
  z.looseObject({
    role: z.literal("assistant"),
    content: content.nullish(),
    tool_calls: z.array(toolCall).min(1).nullish(),
  }),
  z.looseObject({ role: z.literal("tool"), content: resultContent, tool_call_id: z.string() }),
]);
type ChatMessage = z.infer<typeof message>;

const request = z.looseObject({
  model: z.string().min(1),
  messages: z.array(message).min(1),
  tools: z.array(z.looseObject({ function: z.looseObject({ name: z.string() }).optional() })).nullish(),
  stream: z.boolean().nullish(),
  stream_options: z.looseObject({ include_usage: z.boolean().optional() }).nullish(),
});

export function parseChatRequest(body: unknown, headers: IncomingHttpHeaders): ChatRequest {
  requireBearer(headers);
  const parsed = request.safeParse(body);
  if (!parsed.success) {
    const problems = parsed.error.issues.map((issue) => `${issue.path.join(".")}: ${issue.message}`);
    throw new ScriptedModelError("bad-request", `Invalid value: ${problems.join("; ")}`);
  }
  const { model, messages, tools, stream, stream_options: options } = parsed.data;
  requireAnswers(messages);
  const system = messages.filter(({ role }) => role === "system" || role === "developer");
  return {
    stream: stream ?? false,
    streamUsage: options?.include_usage ?? false,
    conversation: {
      model,
      system: system.map(textOf).filter(Boolean).join("\n\n"),
      messages: messages.flatMap(toMessage),
      tools: (tools ?? []).flatMap((tool) => tool.function?.name ?? []),
      size: JSON.stringify([messages, tools]).length,
    },
  };
}

function toMessage(from: ChatMessage): Message[] {
  const text = textOf(from);
  switch (from.role) {
    case "user":
      return [{ role: "human", text }];
    case "assistant":
      return [
        {
          role: "assistant",
          text,
          toolCalls: (from.tool_calls ?? []).map((call) => ({ id: call.id, name: call.function.name })),
        },
      ];
    case "tool":
      return [{ role: "tool", callId: from.tool_call_id, text }];
    default:
      return [];
  }
}

function textOf({ content: value }: ChatMessage): string {
  if (typeof value === "string") return value;
  return (value ?? [])
    .flatMap((part) => ("text" in part && typeof part.text === "string" ? [part.text] : []))
    .join("\n");
}

/** Each call is answered right after the message that made it, and nothing else is. */
function requireAnswers(messages: readonly ChatMessage[]): void {
  let open = new Set<string>();
  for (const [index, each] of messages.entries()) {
    if (each.role === "tool") {
      if (open.delete(each.tool_call_id)) continue;
      const rule = "messages with role 'tool' must be a response to a preceding message with 'tool_calls'";
      throw new ScriptedModelError("bad-request", `Invalid parameter: ${rule} (messages[${index}]).`);
    }
    refuseUnanswered(open);
    open = new Set(each.role === "assistant" ? (each.tool_calls ?? []).map(({ id }) => id) : []);
  }
  refuseUnanswered(open);
}

function refuseUnanswered(ids: ReadonlySet<string>): void {
  if (ids.size === 0) return;
  const rule =
    "An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'.";
  const found = `The following tool_call_ids did not have response messages: ${[...ids].join(", ")}`;
  throw new ScriptedModelError("bad-request", `${rule} ${found}`);
}
