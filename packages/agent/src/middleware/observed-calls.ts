import { AIMessage, ToolMessage } from "@langchain/core/messages";
import { isGraphBubbleUp } from "@langchain/langgraph";
import { failureOf, inSpan, noteFailure } from "@stigmer/telemetry";
import { type AgentMiddleware, createMiddleware } from "langchain";
import type { CallObserver, EndedModelCall } from "../call-observer.ts";
import { currentAttempt } from "../models/attempt.ts";
import type { ModelConfig } from "../models/model-config.ts";

export interface ObservedCallsOptions {
  readonly agentName: string;
  readonly model: ModelConfig;
  readonly observer: CallObserver | undefined;
}

type Span = Parameters<Parameters<typeof inSpan>[1]>[0];

/**
 * Makes a span of each try of a model call and of each tool that is run, in the names of OpenTelemetry's conventions for
 * generative AI, and tells the observer. Neither has anything of what was said, asked for or answered. Per event of the stream
 * nothing is done at all.
 */
export function observedCalls({ agentName, model, observer }: ObservedCallsOptions): AgentMiddleware {
  const about = { "gen_ai.provider.name": model.provider, "gen_ai.agent.name": agentName };
  return createMiddleware({
    name: "observedCalls",
    wrapModelCall: (request, handler) => {
      const name = `chat ${model.model}`;
      const attributes = { "gen_ai.operation.name": "chat", "gen_ai.request.model": model.model, ...about };
      return inSpan({ scope: "@stigmer/agent", name, kind: "client", attributes, failureOf: failure }, async (span) => {
        const ended = observer?.modelCall({ agentName, provider: model.provider, model: model.model });
        const begunAt = performance.now();
        try {
          const answer = await handler(request);
          const usage = AIMessage.isInstance(answer) ? answer.usage_metadata : undefined;
          if (span.isRecording() && AIMessage.isInstance(answer)) noteAnswer(span, answer, begunAt);
          ended?.({ outcome: "answered", ...tokensOf(usage) });
          return answer;
        } catch (error) {
          ended?.({ outcome: "failed" });
          throw error;
        }
      });
    },
    wrapToolCall: (request, handler) => {
      const { id = "", name } = request.toolCall;
      const program = name === "execute" ? programOf(request.toolCall.args) : undefined;
      const attributes = {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": name,
        "gen_ai.tool.type": "function",
        "gen_ai.tool.call.id": id,
        "gen_ai.agent.name": agentName,
        ...(program !== undefined && { "process.executable.name": program }),
      };
      return inSpan(
        { scope: "@stigmer/agent", name: `execute_tool ${name}`, attributes, failureOf: failure },
        async (span) => {
          const ended = observer?.toolCall({ agentName, name, isTask: name === "task" });
          try {
            const result = await handler(request);
            const failed = ToolMessage.isInstance(result) && result.status === "error";
            if (failed) noteFailure(span, "tool_error");
            ended?.({ outcome: failed ? "failed" : "completed" });
            return result;
          } catch (error) {
            const stopped = isGraphBubbleUp(error) || request.runtime.signal?.aborted === true;
            ended?.({ outcome: stopped ? "stopped" : "failed" });
            throw error;
          }
        },
      );
    },
  });
}

/** A call that comes to rest, or waits for a person, has not failed. */
function failure(error: unknown): string | undefined {
  return isGraphBubbleUp(error) ? undefined : failureOf(error);
}

/** The first word of a command when it names a program: the only one that can't hold a secret. */
function programOf(args: Readonly<Record<string, unknown>>): string | undefined {
  const { command } = args;
  return typeof command === "string"
    ? /^\s*(?:[\w./-]*\/)?([A-Za-z][\w.-]{0,31})(?=\s|$)/.exec(command)?.[1]
    : undefined;
}

function noteAnswer(span: Span, answer: AIMessage, begunAt: number): void {
  const { usage_metadata: usage, response_metadata: said, additional_kwargs: beside } = answer;
  const attempt = currentAttempt();
  const about: Record<string, unknown> = said;
  const reason = [
    attempt?.finishReason,
    about["finish_reason"],
    about["stop_reason"],
    (beside as Record<string, unknown>)["stop_reason"],
    about["done_reason"],
    about["status"],
  ].find((value) => typeof value === "string" && value !== "");
  const named = [about["model_name"], about["model"]].find((value) => typeof value === "string" && value !== "");
  span.setAttributes({
    ...(typeof named === "string" && { "gen_ai.response.model": named }),
    ...(answer.id !== undefined && { "gen_ai.response.id": answer.id }),
    ...(typeof reason === "string" && { "gen_ai.response.finish_reasons": [reason] }),
    ...(attempt?.firstPieceAt !== undefined && {
      "gen_ai.response.time_to_first_chunk": Math.max(0, attempt.firstPieceAt - begunAt) / 1_000,
    }),
    ...(usage && {
      "gen_ai.usage.input_tokens": usage.input_tokens,
      "gen_ai.usage.output_tokens": usage.output_tokens,
      ...(usage.input_token_details?.cache_read !== undefined && {
        "gen_ai.usage.cache_read.input_tokens": usage.input_token_details.cache_read,
      }),
    }),
  });
}

function tokensOf(usage: AIMessage["usage_metadata"]): Pick<EndedModelCall, "inputTokens" | "outputTokens"> {
  return usage === undefined ? {} : { inputTokens: usage.input_tokens, outputTokens: usage.output_tokens };
}
