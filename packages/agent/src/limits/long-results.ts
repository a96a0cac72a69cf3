import { createHash } from "node:crypto";
import { type MessageContent, ToolMessage } from "@langchain/core/messages";
import { Command, isCommand } from "@langchain/langgraph";
import type { DeepAgentsBackend } from "@stigmer/sandbox/deepagents";
import { type AgentMiddleware, createMiddleware } from "langchain";

export interface LongResultsOptions {
  /** Where long results go: `/large_tool_results` of it. */
  readonly backend: Pick<DeepAgentsBackend, "write">;
  /** Bytes of text that a result may have. */
  readonly limit: number;
  /** Takes out of every result what must not be shown. */
  readonly mask?: (text: string) => string;
}

/** Bytes of text that a result may have when nobody says otherwise. */
export const defaultResultLimit = 30_000;

/** Characters of the beginning, and of the end, that stay. */
const shown = 4_000;

/** It gives parts of files by itself, those that were put there for being long too. */
const pagesByItself = "read_file";

/**
 * Puts a tool's result that is too long for the model's context into a file that the agent can read, and gives the model its
 * beginning, its end and the path; images stay. For all tools alike, sub-agents' results too. Stands right around the errors,
 * inside of the ledger, so that ledger, checkpoint, status and model have the same short form.
 */
export function longResults({ backend, limit, mask = (text) => text }: LongResultsOptions): AgentMiddleware {
  const shorten = (text: string, callId: string): Promise<string> => shortenText(text, callId, { backend, limit });

  async function shortenContent(content: MessageContent, callId: string): Promise<MessageContent> {
    if (typeof content === "string") return shorten(mask(content), callId);
    const texts = content.flatMap((block) => (block.type === "text" ? [mask(String(block["text"]))] : []));
    const whole = texts.join("\n");
    const short = await shorten(whole, callId);
    let at = 0;
    // The texts of a long result become one, where the first one stood.
    const masked = content.flatMap((block) => {
      if (block.type !== "text") return [block];
      const text = short === whole ? texts[at] : at === 0 ? short : undefined;
      at += 1;
      return text === undefined ? [] : [{ ...block, type: "text" as const, text }];
    });
    return masked as MessageContent;
  }

  async function toShort(message: ToolMessage): Promise<ToolMessage> {
    const { content, artifact } = message;
    message.content = await shortenContent(content, message.tool_call_id);
    if (artifact !== undefined) message.artifact = mapStrings(artifact, mask);
    return message;
  }

  return createMiddleware({
    name: "longResults",
    wrapToolCall: async (request, handler) => {
      const result = await handler(request);
      if (request.toolCall.name === pagesByItself) return result;
      if (ToolMessage.isInstance(result)) return toShort(result);
      const update: unknown = isCommand(result) ? result.update : undefined;
      const messages = (update as { messages?: unknown } | undefined)?.messages;
      if (!Array.isArray(messages)) return result;
      const short = await Promise.all(
        messages.map((message: unknown) => (ToolMessage.isInstance(message) ? toShort(message) : message)),
      );
      const command = result as Command;
      return new Command({ ...command, update: { ...(update as object), messages: short }, graph: command.graph });
    },
  });
}

/** A text that is too long goes into a file named after the call; its beginning, its end and the path stay. */
export async function shortenText(
  text: string,
  callId: string,
  { backend, limit, mask = (given) => given }: LongResultsOptions,
): Promise<string> {
  const whole = mask(text);
  const bytes = Buffer.byteLength(whole);
  if (bytes <= limit) return whole;
  const path = `/large_tool_results/${fileName(callId)}.txt`;
  const { error } = await backend.write(path, whole).catch((cause: unknown) => ({ error: String(cause) }));
  const where =
    error === undefined
      ? `All of it is in ${path}: read parts of it with read_file (offset, limit), or search it with grep.`
      : `It could not be put into a file (${error}): ask for less at once.`;
  return excerpt(whole, `[The result is long (${bytes.toLocaleString("en-US")} bytes). ${where}]`);
}

/** The beginning and the end, whole lines where there are some, with a note about the rest between them. */
function excerpt(text: string, note: string): string {
  const head = text.slice(0, shown);
  const tail = text.slice(-shown);
  const lastLine = head.lastIndexOf("\n");
  const firstLine = tail.indexOf("\n");
  const begin = lastLine > shown / 2 ? head.slice(0, lastLine) : head;
  const end = firstLine >= 0 && firstLine < shown / 2 ? tail.slice(firstLine + 1) : tail;
  const lines = text.slice(begin.length, text.length - end.length).split("\n").length - 1;
  const left = lines > 1 ? ` About ${lines.toLocaleString("en-US")} lines are left out here.` : "";
  return `${begin.toWellFormed()}\n\n${note.slice(0, -1)}${left}]\n\n${end.toWellFormed()}`;
}

/** A call has a file of its own, whatever its provider calls it; made again after a crash it has the same one. */
function fileName(callId: string): string {
  if (/^[\w-]{1,100}$/.test(callId)) return callId;
  return createHash("sha256").update(callId).digest("hex").slice(0, 32);
}

function mapStrings(value: unknown, map: (text: string) => string): unknown {
  if (typeof value === "string") return map(value);
  if (Array.isArray(value)) return value.map((item) => mapStrings(item, map));
  if (typeof value !== "object" || value === null || Object.getPrototypeOf(value) !== Object.prototype) return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, mapStrings(inner, map)]));
}
