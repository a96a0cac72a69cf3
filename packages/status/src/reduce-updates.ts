import type { AgentEvent } from "./agent-event.ts";
import { completeMessage, hearHuman, takeBack } from "./conversation.ts";
import { isRecord } from "./read-content.ts";
import { readMessage } from "./read-message.ts";
import { route } from "./route-namespace.ts";
import type { RunState } from "./run-state.ts";
import { writeTodos } from "./todos.ts";
import { settleCall } from "./tool-calls.ts";
import { countTokens } from "./usage.ts";

/** `updates`: node → what it wrote into the graph's state, once the node has ended. */
export function reduceUpdates(state: RunState, event: AgentEvent, at: string): void {
  if (!isRecord(event.data)) return;
  const ofRoot = route(state, event).kind === "root";
  for (const [node, written] of Object.entries(event.data)) {
    for (const update of Array.isArray(written) ? (written as readonly unknown[]) : [written]) {
      if (!isRecord(update)) continue;
      const messages: readonly unknown[] = Array.isArray(update["messages"])
        ? update["messages"]
        : [update["messages"]];
      if (ofRoot) readUpdate(state, { node, messages, at });
      else countModelCalls(state, messages);
      if (ofRoot && Array.isArray(update["todos"])) writeTodos(state, update["todos"], at);
    }
  }
}

interface Update {
  readonly node: string;
  readonly messages: readonly unknown[];
  readonly at: string;
}

function readUpdate(state: RunState, { node, messages, at }: Update): void {
  // A node that writes the history anew (to repair or shorten it) sends all of it, earlier executions included.
  const rewritten = messages.some((message) => isRecord(message) && isRemoval(message));
  const read = messages.map(readMessage).filter((message) => message !== undefined);
  if (node === "model_request" && !rewritten) {
    // What streamed in this node but is not its outcome: an attempt that was retried, a summary for the model's own use.
    const said = new Set(read.map((message) => (message.kind === "ai" ? message.id : "")));
    for (const id of state.open.keys()) if (!said.has(id)) takeBack(state, id);
  }
  for (const message of read) {
    if (message.kind === "tool") {
      if (node === "tools" || state.fold.toolCall(message.toolCallId) !== undefined) settleCall(state, message, at);
    } else if (message.kind === "human") {
      hearHuman(state, message, at);
    } else if (!rewritten && !state.earlier.has(message.id)) {
      if (node === "model_request") countTokens(state, message, "whole");
      completeMessage(state, message, at);
    }
  }
}

function countModelCalls(state: RunState, messages: readonly unknown[]): void {
  for (const value of messages) {
    const message = readMessage(value);
    if (message?.kind === "ai") countTokens(state, message, "whole");
  }
}

function isRemoval(message: Record<string, unknown>): boolean {
  const name: unknown = Array.isArray(message["id"]) ? message["id"].at(-1) : undefined;
  return message["type"] === "remove" || name === "RemoveMessage";
}
