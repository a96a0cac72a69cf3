import type { AgentEvent } from "./agent-event.ts";
import { completeMessage, hearAgain, hearHuman, type Scene, takeBack } from "./conversation.ts";
import { isRecord } from "./read-content.ts";
import { readMessage } from "./read-message.ts";
import { route } from "./route-namespace.ts";
import type { RunState } from "./run-state.ts";
import { writeTodos } from "./todos.ts";
import { settleCall, settleTask } from "./tool-calls.ts";
import { countTokens } from "./usage.ts";

/** `updates`: node → what it wrote into the graph's state, once the node has ended. */
export function reduceUpdates(state: RunState, event: AgentEvent, at: string): void {
  if (!isRecord(event.data)) return;
  const { subAgentId, aside } = route(state, event);
  for (const [node, written] of Object.entries(event.data)) {
    for (const update of Array.isArray(written) ? (written as readonly unknown[]) : [written]) {
      if (!isRecord(update)) continue;
      const messages: readonly unknown[] = Array.isArray(update["messages"])
        ? update["messages"]
        : [update["messages"]];
      if (aside) countModelCalls(state, messages, subAgentId);
      else readUpdate(state, { node, messages, at, subAgentId });
      // The plan is the agent's own; a sub-agent's is for itself.
      if (!aside && subAgentId === "" && Array.isArray(update["todos"])) writeTodos(state, update["todos"], at);
    }
  }
}

interface Update extends Scene {
  readonly node: string;
  readonly messages: readonly unknown[];
}

function readUpdate(state: RunState, { node, messages, at, subAgentId }: Update): void {
  const scene = { at, subAgentId };
  // A node that writes the history anew (to repair or shorten it) sends all of it, earlier executions included.
  const rewritten = messages.some((message) => isRecord(message) && isRemoval(message));
  const read = messages.map(readMessage).filter((message) => message !== undefined);
  if (node === "model_request" && !rewritten) {
    // What streamed in this node but is not its outcome: an attempt that was retried, a summary for the model's own use.
    const said = new Set(read.map((message) => (message.kind === "ai" ? message.id : "")));
    for (const [id, open] of state.open) if (open.subAgentId === subAgentId && !said.has(id)) takeBack(state, id);
  }
  for (const message of read) {
    if (message.kind === "tool") {
      if (node === "tools" || state.fold.toolCall(message.toolCallId) !== undefined) settleCall(state, message, scene);
    } else if (message.kind === "task-result") {
      settleTask(state, message.toolCallId, message.result, at);
    } else if (message.kind === "human") {
      if (subAgentId === "") hearHuman(state, message, at);
    } else if (!rewritten && !state.earlier.has(message.id)) {
      hearAgain(state, message.id, subAgentId);
      if (node === "model_request") countTokens(state, message, { subAgentId, part: "whole" });
      completeMessage(state, message, scene);
    }
  }
}

function countModelCalls(state: RunState, messages: readonly unknown[], subAgentId: string): void {
  for (const value of messages) {
    const message = readMessage(value);
    if (message?.kind === "ai") countTokens(state, message, { subAgentId, part: "whole" });
  }
}

function isRemoval(message: Record<string, unknown>): boolean {
  const name: unknown = Array.isArray(message["id"]) ? message["id"].at(-1) : undefined;
  return message["type"] === "remove" || name === "RemoveMessage";
}
