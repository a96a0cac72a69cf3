import { TextKind } from "@stigmer/protos/agentexecution/v1";
import type { RunState } from "./run-state.ts";

/** More of a text of the message, if there is more. */
export function appendText(state: RunState, id: string, { kind, text }: { kind: TextKind; text: string }): void {
  const row = state.fold.message(id);
  if (row === undefined || text === "") return;
  const offset = kind === TextKind.REASONING ? row.reasoningBytes : row.contentBytes;
  state.emit({ case: "textAppended", value: { messageId: id, kind, offset, text } });
}

/** Streaming ends here, of one sub-agent or of all: a half pair that is still held will never be whole. */
export function closeMessages(state: RunState, subAgentId?: string): void {
  for (const [id, { heldContent, heldReasoning, ...open }] of state.open) {
    if (subAgentId !== undefined && open.subAgentId !== subAgentId) continue;
    state.open.delete(id);
    appendText(state, id, { kind: TextKind.REASONING, text: heldReasoning.toWellFormed() });
    appendText(state, id, { kind: TextKind.CONTENT, text: heldContent.toWellFormed() });
  }
}
