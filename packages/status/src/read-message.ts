import { contentText, isRecord, readJsonObject, resultText, unwrapArguments } from "./read-content.ts";

/** A tool call as the model wrote it, its arguments complete. */
export interface ToolCallRequest {
  readonly id: string;
  readonly name: string;
  readonly args: Readonly<Record<string, unknown>>;
}

/** What a model call cost, as far as its provider says. `input` includes `cached` and `cacheWritten`, `output` includes `reasoning`. */
interface Tokens {
  readonly input: number;
  readonly output: number;
  readonly cached: number;
  readonly cacheWritten: number;
  readonly reasoning: number;
}

/** The parts of a LangChain message that a status is made of. */
export type StreamedMessage =
  | {
      readonly kind: "ai";
      readonly id: string;
      /** A piece of a message that more pieces follow, not the whole. */
      readonly partial: boolean;
      readonly text: string;
      readonly reasoning: string;
      /** Complete only when the message is. */
      readonly toolCalls: readonly ToolCallRequest[];
      readonly tokens: Tokens | undefined;
      /** The model that made it, as its provider names it; empty where that is not said. */
      readonly model: string;
    }
  | {
      readonly kind: "tool";
      readonly toolCallId: string;
      readonly name: string;
      readonly text: string;
      /**
       * `unknown`: nobody knows whether the call happened; `cancelled`: it was refused and not run. The text tells the model
       * so.
       */
      readonly outcome: "completed" | "failed" | "unknown" | "cancelled";
      /** Of a task that was taken and is worked on in the background: this is not what came of it. */
      readonly inBackground: boolean;
    }
  | { readonly kind: "human"; readonly id: string; readonly text: string }
  /** What came of a task in the background, as the agent hears it. */
  | { readonly kind: "task-result"; readonly id: string; readonly toolCallId: string; readonly result: TaskResult };

export interface TaskResult {
  readonly outcome: "completed" | "failed";
  readonly text: string;
}

/**
 * Reads a message by its shape: a live LangChain message, a plain pick of its fields, or one that went through JSON
 * (LangChain's `{ lc, id, kwargs }` envelope). Undefined for system messages and whatever else comes.
 */
export function readMessage(value: unknown): StreamedMessage | undefined {
  if (!isRecord(value)) return undefined;
  const fields = value["lc"] === 1 && isRecord(value["kwargs"]) ? value["kwargs"] : value;
  const type = messageType(value);
  if (type === "tool") {
    const toolCallId = fields["tool_call_id"];
    if (typeof toolCallId !== "string" || toolCallId === "") return undefined;
    const text = resultText(fields["content"]);
    return {
      kind: "tool",
      toolCallId,
      name: asString(fields["name"]),
      text,
      outcome: outcomeOf(fields),
      inBackground: taskOf(fields) !== undefined,
    };
  }
  if (type === "human") {
    const id = asString(fields["id"]);
    if (id === "") return undefined;
    const { text } = contentText(fields["content"]);
    const task = taskOf(fields);
    if (task === undefined) return { kind: "human", id, text };
    // The agent is told in a first paragraph which task it is.
    const said = text.slice(text.indexOf("\n\n") + 2);
    return {
      kind: "task-result",
      id,
      toolCallId: asString(task["toolCallId"]),
      result: readTaskResult({ ...task, text: said }),
    };
  }
  if (type !== "ai" && type !== "AIMessageChunk") return undefined;
  const id = asString(fields["id"]);
  if (id === "") return undefined;
  const { text, reasoning } = contentText(fields["content"]);
  return {
    kind: "ai",
    id,
    partial: Array.isArray(fields["tool_call_chunks"]),
    text,
    // OpenAI's newer client tells it in both places.
    reasoning: reasoning === "" ? reasoningBeside(fields["additional_kwargs"]) : reasoning,
    toolCalls: readToolCalls(fields),
    tokens: readTokens(fields["usage_metadata"]),
    model: readModel(fields["response_metadata"]),
  };
}

/** The agent marks the message of a call that was lost with its process, and of one that was refused. */
function outcomeOf(fields: Record<string, unknown>): "completed" | "failed" | "unknown" | "cancelled" {
  const kwargs = fields["additional_kwargs"];
  const marked = isRecord(kwargs) ? kwargs["tool_call_outcome"] : undefined;
  if (marked === "unknown") return "unknown";
  if (marked === "refused") return "cancelled";
  return fields["status"] === "error" ? "failed" : "completed";
}

/** How the agent marks the messages of a task in the background. */
function taskOf(fields: Record<string, unknown>): Record<string, unknown> | undefined {
  const kwargs = fields["additional_kwargs"];
  const task = isRecord(kwargs) ? kwargs["background_task"] : undefined;
  return isRecord(task) ? task : undefined;
}

/** What came of a task in the background. */
export function readTaskResult(value: unknown): TaskResult {
  const { outcome, text } = isRecord(value) ? value : {};
  return { outcome: outcome === "failed" ? outcome : "completed", text: asString(text) };
}

function messageType(message: Record<string, unknown>): string {
  if (message["lc"] === 1 && Array.isArray(message["id"])) {
    const name: unknown = message["id"].at(-1);
    if (name === "ToolMessage" || name === "ToolMessageChunk") return "tool";
    if (name === "AIMessage" || name === "AIMessageChunk") return "ai";
    if (name === "HumanMessage") return "human";
  }
  if (typeof message["type"] === "string") return message["type"];
  for (const method of ["getType", "_getType"]) {
    const read = message[method];
    if (typeof read === "function") return asString(read.call(message));
  }
  return "";
}

/** Thinking that providers without thinking blocks (Ollama, DeepSeek, OpenAI) put beside the content. */
function reasoningBeside(kwargs: unknown): string {
  if (!isRecord(kwargs)) return "";
  if (typeof kwargs["reasoning_content"] === "string") return kwargs["reasoning_content"];
  return contentText([kwargs["reasoning"]]).reasoning;
}

function readToolCalls(fields: Record<string, unknown>): ToolCallRequest[] {
  const calls: unknown[] = Array.isArray(fields["tool_calls"]) ? fields["tool_calls"] : [];
  // What the model wrote as arguments but no parser could read: the call is still one that was made.
  const broken: unknown[] = Array.isArray(fields["invalid_tool_calls"]) ? fields["invalid_tool_calls"] : [];
  return [...calls, ...broken].flatMap((call) => {
    if (!isRecord(call) || typeof call["id"] !== "string" || call["id"] === "") return [];
    const args =
      typeof call["args"] === "string" ? (readJsonObject(call["args"]) ?? { input: call["args"] }) : call["args"];
    return [{ id: call["id"], name: asString(call["name"]), args: unwrapArguments(args) }];
  });
}

function readModel(metadata: unknown): string {
  return isRecord(metadata) ? asString(metadata["model_name"]) || asString(metadata["model"]) : "";
}

function readTokens(usage: unknown): Tokens | undefined {
  if (!isRecord(usage)) return undefined;
  const input = isRecord(usage["input_token_details"]) ? usage["input_token_details"] : {};
  const output = isRecord(usage["output_token_details"]) ? usage["output_token_details"] : {};
  return {
    input: asCount(usage["input_tokens"]),
    output: asCount(usage["output_tokens"]),
    cached: asCount(input["cache_read"]),
    cacheWritten: asCount(input["cache_creation"]),
    reasoning: asCount(output["reasoning"]),
  };
}

function asString(value: unknown): string {
  return typeof value === "string" ? value : "";
}

function asCount(value: unknown): number {
  return typeof value === "number" && Number.isSafeInteger(value) && value > 0 ? value : 0;
}
