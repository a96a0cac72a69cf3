import { type BaseMessage, type ContentBlock, HumanMessage, ToolMessage } from "@langchain/core/messages";
import { type AgentMiddleware, createMiddleware } from "langchain";

/**
 * Sends tool results in the one form that every provider takes: text as a string, and images in a user message after
 * them, as data URLs. (Ollama's client refuses blocks in tool results, OpenAI's sends images in a form of its own.)
 * The conversation itself keeps its blocks.
 */
export function portableContent(): AgentMiddleware {
  return createMiddleware({
    name: "portableContent",
    wrapModelCall: (request, handler) => handler({ ...request, messages: toPortable(request.messages) }),
  });
}

/**
 * The messages as every provider takes them.
 * @internal
 */
export function toPortable(messages: readonly BaseMessage[]): BaseMessage[] {
  const portable: BaseMessage[] = [];
  let images: ContentBlock[] = [];
  // The results of one turn have to stay together: their images follow the last.
  const flush = (): void => {
    if (images.length > 0) portable.push(new HumanMessage({ content: images }));
    images = [];
  };
  for (const message of messages) {
    if (!ToolMessage.isInstance(message)) flush();
    else if (typeof message.content !== "string") {
      const parts = message.content.map((block) => toPart(block as ContentBlock, message.name ?? "tool"));
      images.push(...parts.flatMap(({ shown }) => shown));
      portable.push(withContent(message, parts.map(({ text }) => text).join("\n")));
      continue;
    }
    portable.push(message);
  }
  flush();
  return portable;
}

interface Part {
  readonly text: string;
  /** Blocks for the user message that follows. */
  readonly shown: ContentBlock[];
}

function toPart(block: ContentBlock, tool: string): Part {
  if (block.type === "text" && typeof block["text"] === "string") return { text: block["text"], shown: [] };
  const image = imageUrl(block);
  if (image !== undefined) {
    const label = { type: "text", text: `The image that ${tool} returned:` };
    return {
      text: "[The image follows in the next message.]",
      shown: [label, { type: "image_url", image_url: { url: image } }],
    };
  }
  const kind = typeof block["mimeType"] === "string" ? block["mimeType"] : block.type;
  return { text: `[Content of type ${kind} can't be shown here. Use a command to read it.]`, shown: [] };
}

function imageUrl(block: ContentBlock): string | undefined {
  if (block.type === "image_url") {
    const target = block["image_url"] as string | { url?: string } | undefined;
    return typeof target === "string" ? target : target?.url;
  }
  if (block.type !== "image") return undefined;
  const mimeType = block["mimeType"] ?? block["mime_type"];
  if (typeof block["data"] === "string" && typeof mimeType === "string")
    return `data:${mimeType};base64,${block["data"]}`;
  return typeof block["url"] === "string" ? block["url"] : undefined;
}

function withContent(message: ToolMessage, content: string): ToolMessage {
  const { id, name, tool_call_id, status, artifact, additional_kwargs, response_metadata } = message;
  return new ToolMessage({ content, id, name, tool_call_id, status, artifact, additional_kwargs, response_metadata });
}
