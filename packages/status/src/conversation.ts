import { MessageType, TextKind } from "@stigmer/protos/agentexecution/v1";
import type { StreamedMessage } from "./read-message.ts";
import type { OpenMessage, RunState } from "./run-state.ts";
import { announceCall } from "./tool-calls.ts";
import { endsInHalfPair } from "./utf8.ts";

type AiMessage = Extract<StreamedMessage, { kind: "ai" }>;
type HumanMessage = Extract<StreamedMessage, { kind: "human" }>;

/** A message begins. */
export function startMessage(
  state: RunState,
  id: string,
  said: { type: MessageType; at: string; text?: string },
): void {
  state.emit({ case: "messageStarted", value: { messageId: id, type: said.type, timestamp: said.at } });
  appendText(state, id, { kind: TextKind.CONTENT, text: (said.text ?? "").toWellFormed() });
}

/** What somebody said to the run while it was under way has an id that begins with the run's. Its first message has its row. */
export function hearHuman(state: RunState, { id, text }: HumanMessage, at: string): void {
  if (!isSaidTo(state, id) || state.fold.message(id) !== undefined) return;
  startMessage(state, id, { type: MessageType.MESSAGE_HUMAN, at, text });
}

/** Whether the id is that of a message to this run under way. */
export function isSaidTo({ executionId }: RunState, id: string): boolean {
  return id.startsWith(`${executionId}/`);
}

/** A piece of a message of this attempt; pieces of messages that are complete, or of earlier ones, are nothing new. */
export function hearChunk(state: RunState, { id, text, reasoning }: AiMessage, at: string): void {
  let open = state.open.get(id);
  if (open === undefined) {
    if (state.earlier.has(id) || state.fold.message(id) !== undefined) return;
    open = { heldContent: "", heldReasoning: "" };
    state.open.set(id, open);
    startMessage(state, id, { type: MessageType.MESSAGE_AI, at });
  }
  const [thought, heldReasoning] = wholeCharacters(open.heldReasoning + reasoning);
  const [said, heldContent] = wholeCharacters(open.heldContent + text);
  Object.assign(open, { heldReasoning, heldContent } satisfies OpenMessage);
  appendText(state, id, { kind: TextKind.REASONING, text: thought });
  appendText(state, id, { kind: TextKind.CONTENT, text: said });
}

/** The message is complete: what streamed of it is completed or corrected, and its tool calls appear. */
export function completeMessage(state: RunState, message: AiMessage, at: string): void {
  const { id } = message;
  state.open.delete(id);
  if (state.fold.message(id) === undefined) startMessage(state, id, { type: MessageType.MESSAGE_AI, at });
  const row = state.fold.message(id)?.message;
  const [content, reasoning] = [message.text.toWellFormed(), message.reasoning.toWellFormed()];
  if (
    row !== undefined &&
    !(content.startsWith(row.content) && (reasoning === "" || reasoning.startsWith(row.reasoning)))
  ) {
    sayAgain(state, id, at);
  }
  completeText(state, id, { kind: TextKind.REASONING, text: reasoning });
  completeText(state, id, { kind: TextKind.CONTENT, text: content });
  for (const call of message.toolCalls) announceCall(state, id, call);
}

/** The message is taken back, with its calls and their sub-agents. */
export function takeBack(state: RunState, id: string): void {
  for (const call of state.fold.message(id)?.message.toolCalls ?? []) {
    state.live.delete(call.id);
    if (call.name === "task") state.emit({ case: "toolCallRemoved", value: { toolCallId: call.id } });
  }
  state.open.delete(id);
  state.earlier.delete(id);
  state.emit({ case: "messageRemoved", value: { messageId: id } });
}

/** Streaming ends here: a half pair that is still held will never be whole. */
export function closeMessages(state: RunState): void {
  for (const [id, { heldContent, heldReasoning }] of state.open) {
    appendText(state, id, { kind: TextKind.REASONING, text: heldReasoning.toWellFormed() });
    appendText(state, id, { kind: TextKind.CONTENT, text: heldContent.toWellFormed() });
  }
  state.open.clear();
}

/**
 * What streamed is not how the message ended (a middleware rewrote it): it begins anew with the same id, time and calls.
 * There is no change that shortens a text.
 */
function sayAgain(state: RunState, id: string, at: string): void {
  const row = state.fold.message(id)?.message;
  if (row === undefined) return;
  const calls = [...row.toolCalls];
  state.emit({ case: "messageRemoved", value: { messageId: id } });
  startMessage(state, id, { type: MessageType.MESSAGE_AI, at: row.timestamp || at });
  for (const call of calls) state.emit({ case: "toolCall", value: { messageId: id, call } });
}

function completeText(state: RunState, id: string, { kind, text }: { kind: TextKind; text: string }): void {
  const row = state.fold.message(id)?.message;
  const have = (kind === TextKind.REASONING ? row?.reasoning : row?.content) ?? "";
  if (text.length > have.length) appendText(state, id, { kind, text: text.slice(have.length) });
}

function appendText(state: RunState, id: string, { kind, text }: { kind: TextKind; text: string }): void {
  const row = state.fold.message(id);
  if (row === undefined || text === "") return;
  const offset = kind === TextKind.REASONING ? row.reasoningBytes : row.contentBytes;
  state.emit({ case: "textAppended", value: { messageId: id, kind, offset, text } });
}

/** The text up to its last whole character, and the half that may follow it. */
function wholeCharacters(text: string): [whole: string, held: string] {
  const cut = endsInHalfPair(text) ? text.length - 1 : text.length;
  return [text.slice(0, cut).toWellFormed(), text.slice(cut)];
}
