import { AIMessage } from "@langchain/core/messages";
import { type AgentMiddleware, createMiddleware } from "langchain";
import { budgetOf } from "./run-budget.ts";
import type { ModelCall } from "./run-limits.ts";

/**
 * Holds a run to its limits: looked at before each model call and each tool call, in every agent of the tree. Stands inside of
 * the retries, since each attempt is a call, and outside of the ledger, since what is not begun is not written down.
 */
export function runBudget(): AgentMiddleware {
  return createMiddleware({
    name: "runBudget",
    wrapModelCall: async (request, handler) => {
      const meter = await budgetOf(request.runtime as object)?.beginModelCall();
      if (meter === undefined) return handler(request);
      try {
        const answer = await handler(request);
        meter.finish(readCall(answer, request.model));
        return answer;
      } catch (error) {
        meter.fail();
        throw error;
      }
    },
    wrapToolCall: async (request, handler) => {
      const { id = "", name } = request.toolCall;
      // The plan is no work.
      if (name !== "write_todos") await budgetOf(request.runtime as object)?.beginToolCall(id);
      return handler(request);
    },
  });
}

/** What the answer says that it cost; undefined when it says nothing. */
function readCall(answer: unknown, model: unknown): ModelCall | undefined {
  if (!AIMessage.isInstance(answer)) return undefined;
  const { usage_metadata: usage, response_metadata: about } = answer;
  if (usage === undefined) return undefined;
  const asked = (model as { model?: unknown } | undefined)?.model;
  const named = [about["model_name"], about["model"], asked].find((name) => typeof name === "string" && name !== "");
  return {
    model: typeof named === "string" ? named : "",
    inputTokens: usage.input_tokens,
    outputTokens: usage.output_tokens,
    cachedInputTokens: usage.input_token_details?.cache_read ?? 0,
    cacheWriteTokens: usage.input_token_details?.cache_creation ?? 0,
  };
}
