import { MessageType, TextKind } from "@stigmer/protos/agentexecution/v1";
import type { StreamedMessage } from "./read-message.ts";
import type { OpenMessage, RunState } from "./run-state.ts";
import { appendText } from "./message-text.ts";
import { announceCall, isSettled } from "./tool-calls.ts";
import { showWork } from "./usage.ts";
import { endsInHalfPair } from "./utf8.ts";

type AiMessage = Extract<StreamedMessage, { kind: "ai" }>;
type HumanMessage = Extract<StreamedMessage, { kind: "human" }>;

/** When something is said, and in which sub-agent's task; empty for the agent itself. */
export interface Scene {
  readonly at: string;
  readonly subAgentId: string;
}

/** A message begins. */
export function startMessage(
  state: RunState,
  id: string,
  said: { type: MessageType; at: string; text?: string; subAgentId?: string },
): void {
  const { type, at: timestamp, subAgentId } = said;
  state.emit({ case: "messageStarted", value: { messageId: id, type, timestamp, subAgentId } });
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
export function hearChunk(state: RunState, { id, text, reasoning }: AiMessage, scene: Scene): void {
  let open = state.open.get(id);
  if (open === undefined) {
    if (state.earlier.has(id) || state.fold.message(id) !== undefined) return;
    open = { heldContent: "", heldReasoning: "", subAgentId: scene.subAgentId };
    state.open.set(id, open);
    startAnswer(state, id, scene);
  }
  if (text !== "" || reasoning !== "") showWork(state, scene.subAgentId, true);
  const [thought, heldReasoning] = wholeCharacters(open.heldReasoning + reasoning);
  const [said, heldContent] = wholeCharacters(open.heldContent + text);
  Object.assign(open, { heldReasoning, heldContent } satisfies Partial<OpenMessage>);
  appendText(state, id, { kind: TextKind.REASONING, text: thought });
  appendText(state, id, { kind: TextKind.CONTENT, text: said });
}

/** The message is complete: what streamed of it is completed or corrected, and its tool calls appear. */
export function completeMessage(state: RunState, message: AiMessage, scene: Scene): void {
  const { id } = message;
  state.open.delete(id);
  if (state.fold.message(id) === undefined) startAnswer(state, id, scene);
  const row = state.fold.message(id)?.message;
  const [content, reasoning] = [message.text.toWellFormed(), message.reasoning.toWellFormed()];
  if (
    row !== undefined &&
    !(content.startsWith(row.content) && (reasoning === "" || reasoning.startsWith(row.reasoning)))
  ) {
    sayAgain(state, id);
  }
  if (content !== "" || reasoning !== "" || message.toolCalls.length > 0) showWork(state, scene.subAgentId, true);
  completeText(state, id, { kind: TextKind.REASONING, text: reasoning });
  completeText(state, id, { kind: TextKind.CONTENT, text: content });
  for (const call of message.toolCalls) announceCall(state, call, { messageId: id, subAgentId: scene.subAgentId });
}

/** A model begins to answer. */
function startAnswer(state: RunState, id: string, { at, subAgentId }: Scene): void {
  startMessage(state, id, { type: MessageType.MESSAGE_AI, at, subAgentId });
}

/**
 * A model speaks for a sub-agent that another runner had. What that said last before goes, if it is said anew or is without
 * the results of all that was called there: only with these would the sub-agent have come to another answer.
 */
export function hearAgain(state: RunState, id: string, subAgentId: string): void {
  const last = state.lastWords.get(subAgentId);
  if (last === undefined || (id !== last && state.earlier.has(id))) return;
  state.lastWords.delete(subAgentId);
  const calls = state.fold.message(last)?.message.toolCalls ?? [];
  if (id === last || calls.length === 0 || calls.some(({ status }) => !isSettled(status))) takeBack(state, last);
}

/** The message is taken back, with its calls and all that their sub-agents said. */
export function takeBack(state: RunState, id: string): void {
  for (const call of state.fold.message(id)?.message.toolCalls ?? []) {
    state.live.delete(call.id);
    if (call.name !== "task") continue;
    for (const said of state.fold.status.messages.filter(({ subAgentId }) => subAgentId === call.id)) {
      takeBack(state, said.id);
    }
    state.meters.delete(call.id);
    state.lastWords.delete(call.id);
    state.emit({ case: "toolCallRemoved", value: { toolCallId: call.id } });
  }
  state.open.delete(id);
  state.earlier.delete(id);
  state.emit({ case: "messageRemoved", value: { messageId: id } });
}

/**
 * What streamed is not how the message ended (a middleware rewrote it): it begins anew with the same id, time and calls.
 * There is no change that shortens a text.
 */
function sayAgain(state: RunState, id: string): void {
  const row = state.fold.message(id)?.message;
  if (row === undefined) return;
  const { toolCalls, usage, timestamp, subAgentId } = row;
  state.emit({ case: "messageRemoved", value: { messageId: id } });
  startMessage(state, id, { type: MessageType.MESSAGE_AI, at: timestamp, subAgentId });
  if (usage !== undefined) state.emit({ case: "messageUsage", value: { messageId: id, usage } });
  for (const call of toolCalls) state.emit({ case: "toolCall", value: { messageId: id, call } });
}

function completeText(state: RunState, id: string, { kind, text }: { kind: TextKind; text: string }): void {
  const row = state.fold.message(id)?.message;
  const have = (kind === TextKind.REASONING ? row?.reasoning : row?.content) ?? "";
  if (text.length > have.length) appendText(state, id, { kind, text: text.slice(have.length) });
}

/** The text up to its last whole character, and the half that may follow it. */
function wholeCharacters(text: string): [whole: string, held: string] {
  const cut = endsInHalfPair(text) ? text.length - 1 : text.length;
  return [text.slice(0, cut).toWellFormed(), text.slice(cut)];
}
