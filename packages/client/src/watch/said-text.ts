import { type AgentExecutionStatus, MessageType, type StatusDelta, TextKind } from "@stigmer/protos/agentexecution/v1";

/** Tells what of an agent's words is new since it was asked before. */
export interface SaidText {
  /** What was said in this change, or since the last call where only the whole is known. */
  read(status: AgentExecutionStatus, delta?: StatusDelta): string;
}

/** `known` is what has been told before. */
export function createSaidText(known?: AgentExecutionStatus): SaidText {
  // How much of each message was told, in UTF-16 units.
  const told = new Map<string, number>();
  let current: string | undefined;
  for (const { id, content } of known?.messages ?? []) {
    told.set(id, content.length);
    if (content !== "") current = id;
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
    for (const { id, type, content } of status.messages.slice(from)) {
      if (type !== MessageType.MESSAGE_AI || content === "" || (ids && !ids.has(id))) continue;
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
  const said = messages.findLast(({ type, content }) => type === MessageType.MESSAGE_AI && content.trim() !== "");
  return said?.content ?? "";
}
