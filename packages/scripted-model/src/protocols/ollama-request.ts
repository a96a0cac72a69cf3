import { z } from "zod";
import type { Message } from "../conversation.ts";
import { ScriptedModelError } from "../errors.ts";
import type { ChatRequest } from "./protocol.ts";

// Ollama knows no content blocks: text is a string, and images are bare base64 beside it.
const message = z.looseObject({
  role: z.enum(["system", "user", "assistant", "tool"]),
  content: z.string().optional(),
  images: z.array(z.string().regex(/^[A-Za-z0-9+/]+={0,2}$/, "illegal base64 data")).nullish(),
  tool_calls: z
    .array(
      z.looseObject({ function: z.looseObject({ name: z.string(), arguments: z.record(z.string(), z.unknown()) }) }),
    )
    .nullish(),
});

const request = z.looseObject({
  model: z.string().min(1),
  messages: z.array(message).min(1),
  tools: z.array(z.looseObject({ function: z.looseObject({ name: z.string() }) })).nullish(),
  // Unlike elsewhere, an answer is streamed unless it is asked not to be.
  stream: z.boolean().nullish(),
});

export function parseOllamaRequest(body: unknown): ChatRequest {
  const parsed = request.safeParse(body);
  if (!parsed.success) {
    const problems = parsed.error.issues.map((issue) => `${issue.path.join(".")}: ${issue.message}`);
    throw new ScriptedModelError("bad-request", problems.join("; "));
  }
  const { model, messages, tools, stream } = parsed.data;
  const system = messages.filter(({ role }) => role === "system");
  return {
    stream: stream ?? true,
    conversation: {
      model,
      system: system
        .map(({ content }) => content)
        .filter(Boolean)
        .join("\n\n"),
      messages: toMessages(messages),
      tools: (tools ?? []).map((tool) => tool.function.name),
      size: JSON.stringify([messages, tools]).length,
    },
  };
}

/** Results name no call here: they answer the calls of the message before them, in order. */
function toMessages(messages: readonly z.infer<typeof message>[]): Message[] {
  const result: Message[] = [];
  let open: string[] = [];
  let count = 0;
  for (const { role, content: text = "", tool_calls: asked } of messages) {
    if (role === "user") result.push({ role: "human", text });
    if (role === "tool") {
      const callId = open.shift();
      if (callId === undefined) throw new ScriptedModelError("bad-request", "a tool message answers no tool call");
      result.push({ role: "tool", callId, text });
    }
    if (role !== "assistant") continue;
    const toolCalls = (asked ?? []).map((call) => {
      count += 1;
      return { id: `call-${count}`, name: call.function.name };
    });
    open.push(...toolCalls.map(({ id }) => id));
    // Clients send a message of several blocks as several messages.
    const last = result.at(-1);
    if (last?.role !== "assistant") {
      open = toolCalls.map(({ id }) => id);
      result.push({ role: "assistant", text, toolCalls });
    } else {
      result.splice(-1, 1, { ...last, text: last.text + text, toolCalls: [...last.toolCalls, ...toolCalls] });
    }
  }
  return result;
}
