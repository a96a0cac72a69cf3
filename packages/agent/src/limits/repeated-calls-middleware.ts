import { type BaseMessage, ToolMessage } from "@langchain/core/messages";
import { type AgentMiddleware, createMiddleware } from "langchain";
import { AgentError } from "../errors.ts";
import { findRepetitions } from "./repeated-calls.ts";
import { budgetOf } from "./run-budget.ts";

const defaultMost = 3;

/**
 * Tells an agent that goes round in circles so, with the result that it has got too often, and ends the run when that does
 * not help. What it is told stands in what is sent to the model, not in the conversation: there the results stay as they are.
 */
export function repeatedCalls({ most = 0 }: { readonly most: number | undefined }): AgentMiddleware {
  const limit = most > 0 ? most : defaultMost;
  return createMiddleware({
    name: "repeatedCalls",
    wrapModelCall: async (request, handler) => {
      const all: readonly BaseMessage[] = request.state.messages;
      const nudged = new Map<string, number>();
      for (const { toolCallId, times } of findRepetitions(all)) if (times >= limit) nudged.set(toolCallId, times);
      if (nudged.size === 0) return handler(request);
      const circle = endlessCircle(all, { nudged, limit });
      if (circle !== undefined) {
        await budgetOf(request.runtime as object)?.end(circle);
        throw circle;
      }
      return handler({ ...request, messages: request.messages.map((message) => withNudge(message, nudged)) });
    },
  });
}

interface Circle {
  readonly nudged: ReadonlyMap<string, number>;
  readonly limit: number;
}

/** Why to end the run. Only the last turn's results count: those before were in time. */
function endlessCircle(all: readonly BaseMessage[], { nudged, limit }: Circle): AgentError | undefined {
  for (const message of all.slice(all.findLastIndex(({ type }) => type !== "tool") + 1)) {
    if (!ToolMessage.isInstance(message)) continue;
    const times = nudged.get(message.tool_call_id) ?? 0;
    if (times < 2 * limit) continue;
    return new AgentError(
      "loop-detected",
      `The agent called ${message.name ?? "a tool"} ${times} times in a row with the same arguments and got the same result ` +
        `each time, also after it was told so. Make clearer what it is to do, or raise limits.maxRepeatedCalls (${limit}) ` +
        `in the agent's spec if it has to wait for something.`,
    );
  }
  return undefined;
}

function withNudge(message: BaseMessage, nudged: ReadonlyMap<string, number>): BaseMessage {
  const times = ToolMessage.isInstance(message) ? nudged.get(message.tool_call_id) : undefined;
  if (times === undefined || !ToolMessage.isInstance(message)) return message;
  const text =
    `[You have made this very call ${times} times in a row and got this result each time. Making it again will not help: ` +
    `try something else, or say what keeps you from going on.]`;
  const { content, id, name, tool_call_id, status, artifact, additional_kwargs, response_metadata } = message;
  return new ToolMessage({
    content: typeof content === "string" ? `${content}\n\n${text}` : [...content, { type: "text", text }],
    id,
    name,
    tool_call_id,
    status,
    artifact,
    additional_kwargs,
    response_metadata,
  });
}
