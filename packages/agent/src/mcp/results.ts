// A tool's result as the agent takes it: text as text, images once.
import type { CallToolResult, ContentBlock } from "@modelcontextprotocol/sdk/types.js";

/**
 * The same result in plain text and images. Structured content is left out where text says it already (servers have to send
 * both), and told as JSON where none does.
 */
export function plainResult(result: CallToolResult, mask: (text: string) => string): CallToolResult {
  const content = result.content.map((block) => plainBlock(block, mask));
  if (content.length === 0 && result.structuredContent !== undefined) {
    content.push(text(mask(JSON.stringify(result.structuredContent))));
  }
  return { content, isError: result.isError };
}

/** What a failed call says. */
export function textOf({ content }: CallToolResult): string {
  return content.flatMap((block) => (block.type === "text" ? [block.text] : [])).join("\n");
}

function plainBlock(block: ContentBlock, mask: (text: string) => string): ContentBlock {
  switch (block.type) {
    case "text":
      return text(mask(block.text));
    case "image":
      return { type: "image", data: block.data, mimeType: block.mimeType };
    case "audio":
      return text(`[Audio of type ${block.mimeType}, ${bytesOf(block.data)}, can't be shown here.]`);
    case "resource_link":
      return text(mask([`[Resource ${block.name}: ${block.uri}]`, block.description ?? ""].join(" ").trim()));
    case "resource": {
      const { resource } = block;
      if ("text" in resource) return text(mask(resource.text));
      if (resource.mimeType?.startsWith("image/") === true) {
        return { type: "image", data: resource.blob, mimeType: resource.mimeType };
      }
      const type = resource.mimeType === undefined ? "" : ` of type ${resource.mimeType}`;
      return text(mask(`[Resource ${resource.uri}${type}, ${bytesOf(resource.blob)}, can't be shown here.]`));
    }
  }
}

const text = (value: string): ContentBlock => ({ type: "text", text: value });

function bytesOf(base64: string): string {
  return `${Math.floor((base64.length * 3) / 4)} bytes`;
}
