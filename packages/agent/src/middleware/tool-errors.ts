import { ToolMessage } from "@langchain/core/messages";
import { isGraphBubbleUp } from "@langchain/langgraph";
import { type AgentMiddleware, createMiddleware } from "langchain";
import { isUnwritten } from "../errors.ts";
import { toAgentError } from "../to-agent-error.ts";
import { scrubError } from "./scrub.ts";

/** A tool that fails tells the model, which can do better; it never ends the run. Aborts and interrupts pass. */
export function toolErrors(): AgentMiddleware {
  return createMiddleware({
    name: "toolErrors",
    wrapToolCall: async (request, handler) => {
      try {
        const result = await handler(request);
        // Of LangChain's own making, for arguments that don't fit and tools that don't exist: with stacks in the text.
        if (ToolMessage.isInstance(result) && result.status === "error" && typeof result.content === "string") {
          result.content = scrubError(result.content);
        }
        return result;
      } catch (error) {
        if (isGraphBubbleUp(error) || request.runtime.signal?.aborted === true) throw error;
        const { id = "", name } = request.toolCall;
        // A sub-agent that can't write down what it does: its run must not go on as if it had.
        if (name === "task" && isUnwritten(toAgentError(error))) throw error;
        const reason = error instanceof Error ? error.message : String(error);
        return new ToolMessage({
          content: scrubError(`Error: ${reason.replace(/^Error: /, "")}`),
          tool_call_id: id,
          name,
          status: "error",
        });
      }
    },
  });
}
