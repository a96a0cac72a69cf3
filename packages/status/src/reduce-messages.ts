import type { AgentEvent } from "./agent-event.ts";
import { hearAgain, hearChunk } from "./conversation.ts";
import { isRecord } from "./read-content.ts";
import { readMessage } from "./read-message.ts";
import { route } from "./route-namespace.ts";
import type { RunState } from "./run-state.ts";
import { settleCall, tellUnknownCall } from "./tool-calls.ts";
import { countTokens } from "./usage.ts";

/** `messages`: `[message, metadata]`, a piece of what a model says, or a tool's result. */
export function reduceMessages(state: RunState, event: AgentEvent, at: string): void {
  if (!Array.isArray(event.data)) return;
  const [value, metadata] = event.data as readonly unknown[];
  const about = isRecord(metadata) ? metadata : {};
  const message = readMessage(value);
  if (message === undefined) return;
  const { subAgentId, aside } = route(state, event);
  if (message.kind === "tool") {
    if (aside) {
      if (message.outcome === "unknown") tellUnknownCall(state, message, at);
    } else if (about["langgraph_node"] === "tools" || state.fold.toolCall(message.toolCallId) !== undefined) {
      settleCall(state, message, { at, subAgentId });
    }
    return;
  }
  if (message.kind === "human" || message.kind === "task-result") return;
  // A model that is called by a tool or a middleware speaks to that, not to the user.
  const speaks = !aside && about["langgraph_node"] === "model_request";
  if (speaks) hearAgain(state, message.id, subAgentId);
  // Anthropic's first piece counts one token of output, its last one all of them.
  const streamed = about["ls_provider"] === "anthropic" ? "running" : "piece";
  const model = typeof about["ls_model_name"] === "string" ? about["ls_model_name"] : "";
  countTokens(state, message, { subAgentId, model, part: message.partial ? streamed : "whole" });
  if (speaks && (message.partial || !state.open.has(message.id))) hearChunk(state, message, { at, subAgentId });
}
