import { AIMessage } from "@langchain/core/messages";
import type { ModelProvider } from "./model-config.ts";

/** An answer that is none: a page of something else, JSON that can't be read, or one that stops before its end. */
export class UnreadableAnswer extends Error {
  override readonly name = "UnreadableAnswer";
  /** Whether it may be another when it is asked for again. */
  readonly retryable: boolean;

  constructor(message: string, { retryable }: { readonly retryable: boolean }) {
    super(message);
    this.retryable = retryable;
  }
}

/** The model, or what watches over it, declines to answer. The same question would be declined again. */
class Refusal extends Error {
  override readonly name = "Refusal";
}

/**
 * Throws when the answer is not whole (clients take a stream that ends too early for a short answer), and when it is a
 * refusal, which else would pass for an empty answer.
 */
export function checkAnswer(answer: unknown, provider: ModelProvider, finishReason?: string): void {
  const message = messageOf(answer);
  if (message === undefined) return;
  const { reason, refusal } = endOf(message, provider, finishReason);
  if (refusal !== undefined) throw new Refusal(refusal === "" ? "no reason was given" : refusal);
  if (reason === undefined) throw new UnreadableAnswer("the answer broke off before its end", { retryable: true });
}

function messageOf(answer: unknown): AIMessage | undefined {
  if (AIMessage.isInstance(answer)) return answer;
  const { messages } = Object(answer) as { messages?: unknown };
  return Array.isArray(messages) ? messages.find((message) => AIMessage.isInstance(message)) : undefined;
}

interface End {
  /** Why the model stopped; absent when it never said so. */
  readonly reason: unknown;
  readonly refusal?: string;
}

function endOf(message: AIMessage, provider: ModelProvider, finishReason: string | undefined): End {
  const about: Record<string, unknown> = message.response_metadata;
  const beside: Record<string, unknown> = message.additional_kwargs;
  switch (provider) {
    case "anthropic": {
      const reason = beside["stop_reason"] ?? about["stop_reason"];
      return reason === "refusal" ? { reason, refusal: message.text } : { reason };
    }
    case "ollama":
      return { reason: about["done_reason"] ?? (about["done"] === true ? "stop" : undefined) };
    case "openai": {
      // Chat Completions tell a finish reason, the Responses API a status.
      const { reason: incomplete } = Object(about["incomplete_details"]) as { reason?: unknown };
      const reason = finishReason ?? about["finish_reason"] ?? (isOver(about["status"]) ? about["status"] : undefined);
      const words = beside["refusal"];
      if (typeof words === "string" && words !== "") return { reason, refusal: words };
      return [reason, incomplete].includes("content_filter") ? { reason, refusal: message.text } : { reason };
    }
  }
}

function isOver(status: unknown): boolean {
  return status === "completed" || status === "incomplete";
}
