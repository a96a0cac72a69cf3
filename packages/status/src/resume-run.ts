import { MessageType } from "@stigmer/protos/agentexecution/v1";
import { completeMessage, hearHuman, isSaidTo, type Scene, takeBack } from "./conversation.ts";
import { isRecord } from "./read-content.ts";
import { readMessage, type StreamedMessage } from "./read-message.ts";
import type { RunState } from "./run-state.ts";
import { settleCall, settleTask } from "./tool-calls.ts";
import { countTokens, tellUsage } from "./usage.ts";

type AiMessage = Extract<StreamedMessage, { kind: "ai" }>;

/** Brings the status of a run in line with the checkpoint that it goes on from. */
export function resumeRun(state: RunState, checkpointMessages: readonly unknown[], at: string): void {
  const start = checkpointMessages.findIndex((message) => idOf(message) === state.executionId);
  const held = checkpointMessages.map(readMessage);
  const heldIds = new Set(held.map((message) => (message === undefined || message.kind === "tool" ? "" : message.id)));
  const scene = { at, subAgentId: "" };
  const ours = new Set(state.fold.status.messages.map(({ id }) => id));

  // A half-streamed turn that the checkpoint lacks is said anew, under another id; what people said is heard anew.
  // The thread holds no messages of sub-agents: those go with the task that they belong to, or see their next answer.
  const lost = state.fold.status.messages.filter(
    ({ id, type, subAgentId }) =>
      subAgentId === "" && (type === MessageType.MESSAGE_AI || isSaidTo(state, id)) && !heldIds.has(id),
  );
  for (const { id } of lost) takeBack(state, id);

  for (const [place, message] of held.entries()) {
    if (message === undefined) continue;
    const ofThisRun = start >= 0 && place > start;
    if (message.kind === "ai") {
      // What the runner before had not reported any more.
      if (ofThisRun || ours.has(message.id)) addHeld(state, message, scene);
      else state.earlier.add(message.id);
    } else if (message.kind === "task-result") {
      settleTask(state, message.toolCallId, message.result, at);
    } else if (message.kind === "human") {
      if (ofThisRun) hearHuman(state, message, at);
    } else if (ofThisRun || state.fold.toolCall(message.toolCallId) !== undefined) {
      settleCall(state, message, scene);
    }
  }
  tellUsage(state);
}

/** The same for a sub-agent's conversation, of which the thread's checkpoint holds nothing. */
export function resumeSubAgent(
  state: RunState,
  taskId: string,
  checkpointMessages: readonly unknown[],
  at: string,
): void {
  if (state.fold.subAgent(taskId) === undefined) return;
  const held = checkpointMessages.map(readMessage).filter((message) => message !== undefined);
  const scene = { at, subAgentId: taskId };
  const last = state.lastWords.get(taskId);
  state.lastWords.delete(taskId);
  if (last !== undefined && !held.some((message) => message.kind === "ai" && message.id === last))
    takeBack(state, last);
  for (const message of held) {
    if (message.kind === "ai") addHeld(state, message, scene);
    else if (message.kind === "tool") settleCall(state, message, scene);
  }
}

/** What the runner before had not reported any more of a message is added. */
function addHeld(state: RunState, message: AiMessage, scene: Scene): void {
  const unpaid = state.fold.message(message.id)?.message.usage === undefined && message.tokens !== undefined;
  if (unpaid) state.earlier.delete(message.id);
  if (unpaid) countTokens(state, message, { subAgentId: scene.subAgentId, part: "whole" });
  completeMessage(state, message, scene);
  state.earlier.add(message.id);
}

function idOf(message: unknown): unknown {
  if (!isRecord(message)) return undefined;
  return message["lc"] === 1 && isRecord(message["kwargs"]) ? message["kwargs"]["id"] : message["id"];
}
