import { AIMessage, ToolMessage } from "@langchain/core/messages";
import { type AgentMiddleware, todoListMiddleware } from "langchain";
import { stateApart } from "./state-apart.ts";

const toolName = "write_todos";

/**
 * LangChain's todo list. A plan replaces the one before, so two in one turn would be either's: the model is told to write one.
 * LangChain looks for that after each answer of the model, in a step of the graph of its own, with a checkpoint; here it is done
 * where a plan is written.
 */
export function todoList(): AgentMiddleware[] {
  return own;
}

const { afterModel: _, ...theirs } = todoListMiddleware() as AgentMiddleware;
const own = stateApart({
  ...theirs,
  wrapToolCall: (request, handler) => {
    const { id = "", name } = request.toolCall;
    if (name !== toolName) return handler(request);
    const answer = request.state.messages.findLast((message) => AIMessage.isInstance(message));
    const plans = answer?.tool_calls?.filter((call) => call.name === toolName).length ?? 0;
    if (plans < 2) return handler(request);
    const content = `Error: ${plans} calls of ${toolName} came in one turn, and each replaces the whole list. Call it once, with all todos.`;
    return new ToolMessage({ content, tool_call_id: id, name, status: "error" });
  },
});
