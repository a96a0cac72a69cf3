import type { IncomingHttpHeaders } from "node:http";
import { z } from "zod";
import type { Message } from "../conversation.ts";
import { ScriptedModelError } from "../errors.ts";
import type { ChatRequest } from "./protocol.ts";

// Objects are open: the API grows fields faster than anyone needs them here.
const textBlock = z.looseObject({ type: z.literal("text"), text: z.string() });
const toolUse = z.looseObject({ type: z.literal("tool_use"), id: z.string(), name: z.string(), input: z.unknown() });
const toolResult = z.looseObject({
  type: z.literal("tool_result"),
  tool_use_id: z.string(),
  content: z.union([z.string(), z.array(z.looseObject({ type: z.string() }))]).optional(),
});
// Images, documents, thinking and server tools pass without being looked into.
const otherBlock = z.looseObject({ type: z.string().regex(/^(?!(text|tool_use|tool_result)$)/) });
const block = z.union([textBlock, toolUse, toolResult, otherBlock]);
type Block = z.infer<typeof block>;

const message = z.looseObject({
  role: z.enum(["user", "assistant", "system"]),
  content: z.union([z.string(), z.array(block)]),
});

const request = z.looseObject({
  model: z.string().min(1),
  max_tokens: z.int().min(1),
  system: z.union([z.string(), z.array(textBlock)]).optional(),
  messages: z.array(message).min(1),
  tools: z.array(z.looseObject({ name: z.string() })).optional(),
  stream: z.boolean().optional(),
});

/** Any key will do, but the real API refuses a request without one, and so must its stand-in. */
export function requireHeaders(headers: IncomingHttpHeaders): void {
  if (!headers["x-api-key"] && !headers.authorization) {
    throw new ScriptedModelError("no-credentials", "x-api-key header is required");
  }
  if (!headers["anthropic-version"]) {
    throw new ScriptedModelError("bad-request", "anthropic-version: header is required");
  }
}

export function parseMessagesRequest(body: unknown, headers: IncomingHttpHeaders): ChatRequest {
  requireHeaders(headers);
  const parsed = request.safeParse(body);
  if (!parsed.success) {
    const problems = parsed.error.issues.map((issue) => `${issue.path.join(".")}: ${issue.message}`);
    throw new ScriptedModelError("bad-request", problems.join("; "));
  }
  const { model, system, messages, tools = [], stream = false } = parsed.data;
  const contents = messages.map(({ role, content }) => ({ role, blocks: toBlocks(content) }));
  requirePairs(contents);
  const systemText = [system ?? "", ...contents.flatMap(({ role, blocks }) => (role === "system" ? [blocks] : []))];
  return {
    stream,
    conversation: {
      model,
      system: systemText.map(textOf).filter(Boolean).join("\n\n"),
      messages: contents.flatMap(({ role, blocks }) => toMessages(role, blocks)),
      tools: tools.map((tool) => tool.name),
      size: JSON.stringify([system, messages, tools]).length,
    },
  };
}

function toBlocks(content: string | Block[]): Block[] {
  return typeof content === "string" ? [{ type: "text", text: content }] : content;
}

function textOf(content: string | readonly { type: string }[]): string {
  if (typeof content === "string") return content;
  return content.flatMap((item) => ("text" in item && typeof item.text === "string" ? [item.text] : [])).join("\n");
}

// A user message may hold tool results and then what the human said meanwhile: two messages here.
function toMessages(role: "user" | "assistant" | "system", blocks: readonly Block[]): Message[] {
  if (role === "system") return [];
  const text = textOf(blocks);
  if (role === "assistant") {
    const toolCalls = blocks.filter(isToolUse).map(({ id, name }) => ({ id, name }));
    return [{ role: "assistant", text, toolCalls }];
  }
  const results = blocks
    .filter(isToolResult)
    .map((result): Message => ({ role: "tool", callId: result.tool_use_id, text: textOf(result.content ?? "") }));
  return text.trim() === "" ? results : [...results, { role: "human", text }];
}

/** The real API's strictest rule, and the one agents break: each call is answered in the very next message. */
function requirePairs(messages: readonly { role: string; blocks: readonly Block[] }[]): void {
  const turns = messages.filter(({ role }) => role !== "system");
  let open = new Set<string>();
  for (const [index, { role, blocks }] of turns.entries()) {
    for (const { tool_use_id: id } of blocks.filter(isToolResult)) {
      if (role === "user" && open.delete(id)) continue;
      const rule = "Each `tool_result` block must have a corresponding `tool_use` block in the previous message.";
      refuse(`messages.${index}: unexpected \`tool_use_id\` found in \`tool_result\` blocks: ${id}. ${rule}`);
    }
    refuseUnanswered(open, index - 1);
    open = new Set(role === "assistant" ? blocks.filter(isToolUse).map(({ id }) => id) : []);
  }
  refuseUnanswered(open, turns.length - 1);
}

function refuseUnanswered(ids: ReadonlySet<string>, index: number): void {
  if (ids.size === 0) return;
  const rule = "Each `tool_use` block must have a corresponding `tool_result` block in the next message.";
  const found = "`tool_use` ids were found without `tool_result` blocks immediately after";
  refuse(`messages.${index}: ${found}: ${[...ids].join(", ")}. ${rule}`);
}

function refuse(message: string): never {
  throw new ScriptedModelError("bad-request", message);
}

function isToolUse(value: Block): value is z.infer<typeof toolUse> {
  return value.type === "tool_use";
}

function isToolResult(value: Block): value is z.infer<typeof toolResult> {
  return value.type === "tool_result";
}
