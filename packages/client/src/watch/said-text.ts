import {
  type AgentExecutionStatus,
  type AgentMessage,
  MessageType,
  type StatusDelta,
  TextKind,
} from "@stigmer/protos/agentexecution/v1";

/** Tells what of an agent's own words, not its sub-agents', is new since it was asked before. */
export interface SaidText {
  /** What was said in this change, or since the last call where only the whole is known. */
  read(status: AgentExecutionStatus, delta?: StatusDelta): string;
}

/** `known` is what has been told before. */
export function createSaidText(known?: AgentExecutionStatus): SaidText {
  // How much of each message was told, in UTF-16 units.
  const told = new Map<string, number>();
  let current: string | undefined;
  for (const message of known?.messages ?? []) {
    told.set(message.id, message.content.length);
    if (isSaid(message)) current = message.id;
  }

  function* newTexts(status: AgentExecutionStatus, ids?: ReadonlySet<string>): Generator<string> {
    if (ids?.size === 0) return;
    // What changes stands at the end: a long conversation is not gone through for each word.
    let from = 0;
    if (ids) {
      const missing = new Set(ids);
      for (from = status.messages.length; from > 0 && missing.size > 0;)
        missing.delete(status.messages[--from]?.id ?? "");
    }
    for (const message of status.messages.slice(from)) {
      const { id, content } = message;
      if (!isSaid(message) || (ids && !ids.has(id))) continue;
      const before = told.get(id) ?? 0;
      if (content.length <= before) continue;
      if (current !== undefined && current !== id) yield "\n\n";
      yield content.slice(before);
      told.set(id, content.length);
      current = id;
    }
  }

  return {
    read(status, delta) {
      if (delta === undefined || delta.changes.some(({ change }) => change.case === "merged")) {
        return [...newTexts(status)].join("");
      }
      const ids = new Set<string>();
      for (const { change } of delta.changes) {
        if (change.case === "textAppended" && change.value.kind === TextKind.CONTENT) ids.add(change.value.messageId);
        // Taken back, to be said anew.
        if (change.case === "messageRemoved") told.delete(change.value.messageId);
      }
      return [...newTexts(status, ids)].join("");
    },
  };
}

/** What the agent said last: the answer of a run. */
export function finalAnswer({ messages }: AgentExecutionStatus): string {
  return messages.findLast((message) => isSaid(message) && message.content.trim() !== "")?.content ?? "";
}

/** Whether these are words of the agent itself. */
function isSaid({ type, content, subAgentId }: AgentMessage): boolean {
  return type === MessageType.MESSAGE_AI && content !== "" && subAgentId === "";
}
