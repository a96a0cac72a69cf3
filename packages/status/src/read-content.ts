export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Text and thinking of a message's content: a string, or blocks of several providers' forms. */
export function contentText(content: unknown): { readonly text: string; readonly reasoning: string } {
  if (typeof content === "string") return { text: content, reasoning: "" };
  if (!Array.isArray(content))
    return { text: content === undefined || content === null ? "" : asJson(content), reasoning: "" };
  let text = "";
  let reasoning = "";
  for (const block of content as readonly unknown[]) {
    if (typeof block === "string") text += block;
    else if (isRecord(block)) {
      const thought = thinkingOf(block);
      if (thought !== undefined) reasoning += thought;
      else text += textOf(block);
    }
  }
  return { text, reasoning };
}

function textOf(block: Record<string, unknown>): string {
  if (typeof block["text"] === "string") return block["text"];
  switch (block["type"]) {
    case "image":
    case "image_url":
      return "[image]";
    case "audio":
    case "input_audio":
      return "[audio]";
    case "video":
      return "[video]";
    case "file":
    case "document":
      return "[file]";
    default:
      return "";
  }
}

/** Anthropic `{ type: "thinking", thinking }`, LangChain `{ type: "reasoning", reasoning }`, OpenAI `{ summary: [{ text }] }`. */
function thinkingOf(block: Record<string, unknown>): string | undefined {
  const type = block["type"];
  if (type === "redacted_thinking") return "";
  if (type !== "thinking" && type !== "reasoning" && !Array.isArray(block["summary"])) return undefined;
  for (const key of ["thinking", "reasoning"]) if (typeof block[key] === "string") return block[key];
  const parts: unknown = block["summary"];
  if (!Array.isArray(parts)) return "";
  return parts
    .map((part: unknown) => (isRecord(part) && typeof part["text"] === "string" ? part["text"] : ""))
    .join("");
}

/**
 * Text of a tool's result. MCP results with structured content come as the JSON text of a text block: the block's text is
 * meant.
 */
export function resultText(content: unknown): string {
  const { text } = contentText(content);
  if (!text.startsWith('{"type":"text"')) return text;
  const inner = readJsonObject(text)?.["text"];
  return typeof inner === "string" ? inner : text;
}

export function readJsonObject(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return isRecord(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

const wrapperKeys: ReadonlySet<string> = new Set(["input", "args", "kwargs", "arguments", "parameters"]);

/**
 * A tool call's arguments without what frameworks wrap around them: a whole tool call, `{ input: "<json>" }`,
 * `{ kwargs: { … } }`. Text that holds no object is kept as `{ input: text }`.
 */
export function unwrapArguments(value: unknown): Readonly<Record<string, unknown>> {
  if (typeof value === "string") {
    const parsed = readJsonObject(value);
    return parsed === undefined ? (value === "" ? {} : { input: value }) : unwrapArguments(parsed);
  }
  if (!isRecord(value)) return {};
  if (value["type"] === "tool_call" && isRecord(value["args"])) return value["args"];
  const [key, ...others] = Object.keys(value);
  if (key === undefined || others.length > 0 || !wrapperKeys.has(key)) return value;
  const inner = value[key];
  if (isRecord(inner)) return inner;
  return typeof inner === "string" ? (readJsonObject(inner) ?? value) : value;
}

/** An error's text for people: without the stack lines that LangChain puts into it, which name paths of the host. */
export function errorText(text: string): string {
  return text
    .split("\n")
    .filter((line) => !/^\s+at .*(?::\d+:\d+\)?|<anonymous>\)?|\(native\))$/.test(line))
    .join("\n")
    .trim();
}

function asJson(value: unknown): string {
  try {
    return JSON.stringify(value) ?? "";
  } catch {
    return "";
  }
}
