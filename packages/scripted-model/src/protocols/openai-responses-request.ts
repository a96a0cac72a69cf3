import type { IncomingHttpHeaders } from "node:http";
import { z } from "zod";
import type { Message } from "../conversation.ts";
import { ScriptedModelError } from "../errors.ts";
import { requireBearer } from "./openai-errors.ts";
import type { ChatRequest } from "./protocol.ts";

// Objects are open, but kinds of content are not: the real API refuses one that it does not know.
const content = z.union([
  z.string(),
  z.array(
    z.union([
      z.looseObject({ type: z.enum(["input_text", "output_text"]), text: z.string() }),
      z.looseObject({ type: z.literal("input_image"), image_url: z.string().nullish(), file_id: z.string().nullish() }),
      z.looseObject({ type: z.enum(["input_file", "input_audio", "refusal"]) }),
    ]),
  ),
]);
const said = z.looseObject({
  type: z.literal("message").optional(),
  role: z.enum(["system", "developer", "user", "assistant"]),
  content,
});
const call = z.looseObject({
  type: z.literal("function_call"),
  call_id: z.string().min(1),
  name: z.string(),
  arguments: z.string(),
});
const output = z.looseObject({ type: z.literal("function_call_output"), call_id: z.string(), output: content });
// Reasoning and the provider's own tools pass without being looked into.
const other = z.looseObject({ type: z.string().regex(/^(?!(message|function_call|function_call_output)$)/) });
const item = z.union([said, call, output, other]);
type Item = z.infer<typeof item>;

const request = z.looseObject({
  model: z.string().min(1),
  input: z.union([z.string().min(1), z.array(item).min(1)]),
  instructions: z.string().nullish(),
  tools: z.array(z.looseObject({ name: z.string().optional() })).nullish(),
  stream: z.boolean().nullish(),
});

export function parseResponsesRequest(body: unknown, headers: IncomingHttpHeaders): ChatRequest {
  requireBearer(headers);
  const parsed = request.safeParse(body);
  if (!parsed.success) {
    const problems = parsed.error.issues.map((issue) => `${issue.path.join(".")}: ${issue.message}`);
    throw new ScriptedModelError("bad-request", `Invalid value: ${problems.join("; ")}`);
  }
  const { model, input, instructions, tools, stream } = parsed.data;
  const items: Item[] = typeof input === "string" ? [{ role: "user", content: input }] : input;
  requireOutputs(items);
  const system = items.flatMap((each) => (isSystem(each) ? [textOf(each.content)] : []));
  return {
    stream: stream ?? false,
    conversation: {
      model,
      system: [instructions ?? "", ...system].filter(Boolean).join("\n\n"),
      messages: toMessages(items),
      tools: (tools ?? []).flatMap(({ name }) => name ?? []),
      size: JSON.stringify([instructions, items, tools]).length,
    },
  };
}

/** One answer of the model is several items: its text and its calls, up to what comes from outside. */
function toMessages(items: readonly Item[]): Message[] {
  const messages: Message[] = [];
  const answer = (text: string, calls: { id: string; name: string }[]): void => {
    const last = messages.at(-1);
    if (last?.role !== "assistant") messages.push({ role: "assistant", text, toolCalls: calls });
    else messages.splice(-1, 1, { ...last, text: last.text + text, toolCalls: [...last.toolCalls, ...calls] });
  };
  for (const each of items) {
    if (isCall(each)) answer("", [{ id: each.call_id, name: each.name }]);
    else if (isOutput(each)) messages.push({ role: "tool", callId: each.call_id, text: textOf(each.output) });
    else if (isSaid(each) && each.role === "user") messages.push({ role: "human", text: textOf(each.content) });
    else if (isSaid(each) && each.role === "assistant") answer(textOf(each.content), []);
  }
  return messages;
}

function requireOutputs(items: readonly Item[]): void {
  const calls = new Set(items.filter(isCall).map(({ call_id: id }) => id));
  for (const { call_id: id } of items.filter(isOutput)) {
    if (calls.delete(id)) continue;
    throw new ScriptedModelError("bad-request", `No tool call found for function call output with call_id ${id}.`);
  }
  if (calls.size === 0) return;
  throw new ScriptedModelError("bad-request", `No tool output found for function call ${[...calls].join(", ")}.`);
}

function textOf(value: z.infer<typeof content>): string {
  if (typeof value === "string") return value;
  return value.flatMap((part) => ("text" in part && typeof part.text === "string" ? [part.text] : [])).join("\n");
}

function isSaid(value: Item): value is z.infer<typeof said> {
  return "role" in value && (value.type === undefined || value.type === "message");
}

function isSystem(value: Item): value is z.infer<typeof said> {
  return isSaid(value) && (value.role === "system" || value.role === "developer");
}

function isCall(value: Item): value is z.infer<typeof call> {
  return value.type === "function_call";
}

function isOutput(value: Item): value is z.infer<typeof output> {
  return value.type === "function_call_output";
}
