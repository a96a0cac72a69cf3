import { createHash } from "node:crypto";
import { AIMessage, type BaseMessage } from "@langchain/core/messages";

export interface PlacedCall {
  /** The conversation that the call is part of: the agent's own, or a sub-agent's. */
  readonly messages: readonly BaseMessage[];
  /** As the model gave it: unique within its message, at best. */
  readonly id: string;
  /** LangGraph's `checkpoint_ns` of the task that makes the call: `tools:<task>`, in a sub-agent `tools:<task>|tools:<task>`. */
  readonly checkpointNs: string;
}

/** What a ledger must take; providers that put their own state into ids reach kilobytes. */
const longestKey = 512;

/**
 * Names a tool call within its run, the same after every takeover: the message that asked for it, and the call's id
 * there. Providers count call ids anew in each answer, so the id alone would be an earlier call's; and two sub-agents that
 * were asked the same may get the same answer, from a cache, so that the sub-agent's place is part of the name.
 */
export function callKeyOf({ messages, id, checkpointNs }: PlacedCall): string {
  const place = checkpointNs.split("|");
  const task = place.pop() ?? "";
  const asks = (message: BaseMessage): boolean => callsOf(message).some((call) => call.id === id);
  const message = messages.findLast(asks);
  const twins = message === undefined ? 0 : callsOf(message).filter((call) => call.id === id).length;
  // LangGraph names a task after its checkpoint and its position: with twins that is what tells them apart.
  const parts = [...place, message?.id ?? task, id, ...(twins > 1 ? [task] : [])];
  const key = parts.join("/");
  return key.length <= longestKey ? key : createHash("sha256").update(key).digest("hex");
}

function callsOf(message: BaseMessage): readonly { readonly id?: string }[] {
  return AIMessage.isInstance(message) ? (message.tool_calls ?? []) : [];
}
