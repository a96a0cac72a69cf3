import type {
  AgentExecutionStatus,
  AgentMessage,
  SubAgentExecution,
  ToolCall,
} from "@stigmer/protos/agentexecution/v1";
import { TextKind } from "@stigmer/protos/agentexecution/v1";
import type { StateHash } from "./state-hash.ts";
import { utf8Length } from "./utf8.ts";

/** A message and the length of its texts in bytes, kept so that an append costs what it appends. */
export interface MessageRow {
  readonly message: AgentMessage;
  contentBytes: number;
  reasoningBytes: number;
}

/** Where each row of a status is, by its id. */
export interface StatusIndex {
  readonly messages: Map<string, MessageRow>;
  /** A call stands in the list of all calls and in its message: one object when this fold made it, two in a parsed status. */
  readonly toolCalls: Map<string, readonly ToolCall[]>;
  readonly subAgents: Map<string, SubAgentExecution>;
  /** Kept once somebody has asked for it. */
  hash?: StateHash;
}

export function indexStatus(status: AgentExecutionStatus): StatusIndex {
  const index: StatusIndex = { messages: new Map(), toolCalls: new Map(), subAgents: new Map() };
  for (const message of status.messages) {
    // Older runners give their messages no id; no change can speak of those.
    if (message.id !== "") index.messages.set(message.id, messageRow(message));
    for (const call of message.toolCalls) indexToolCall(index, call);
  }
  for (const call of status.toolCalls) indexToolCall(index, call);
  for (const subAgent of status.subAgentExecutions) index.subAgents.set(subAgent.id, subAgent);
  return index;
}

export function messageRow(message: AgentMessage): MessageRow {
  return { message, contentBytes: utf8Length(message.content), reasoningBytes: utf8Length(message.reasoning) };
}

export function indexToolCall(index: StatusIndex, call: ToolCall): void {
  const known = index.toolCalls.get(call.id) ?? [];
  if (!known.includes(call)) index.toolCalls.set(call.id, [...known, call]);
}

export function textBytes(row: MessageRow, kind: TextKind): number {
  return kind === TextKind.REASONING ? row.reasoningBytes : row.contentBytes;
}
