import type { JsonObject, MessageInitShape } from "@bufbuild/protobuf";
import {
  type ComponentMetadataSchema,
  MessageType,
  SubAgentStatus,
  ToolCallStatus,
} from "@stigmer/protos/agentexecution/v1";
import { inferComponent } from "./components.ts";
import { closeMessages } from "./message-text.ts";
import { errorText } from "./read-content.ts";
import type { StreamedMessage, TaskResult, ToolCallRequest } from "./read-message.ts";
import type { Scene } from "./conversation.ts";
import type { RunState } from "./run-state.ts";
import { beginWork, countToolCall, endWork } from "./usage.ts";

type ToolMessage = Extract<StreamedMessage, { kind: "tool" }>;

/** Who asks for a call: the message, `""` if none is known, and the sub-agent's task in which it is said. */
export interface Asker {
  readonly messageId: string;
  readonly subAgentId: string;
}

/** The model asked for a call: it has a row now, pending. `write_todos` is planning and has none. */
export function announceCall(state: RunState, { id, name, args }: ToolCallRequest, asker: Asker): void {
  if (name === "write_todos") {
    state.planning.add(id);
    return;
  }
  const known = state.fold.toolCall(id);
  if (known !== undefined) {
    if (!isSettled(known.status) && !state.live.has(id)) state.live.set(id, { ...asker, endedAt: "", error: "" });
    return;
  }
  const { messageId, subAgentId } = asker;
  const status = ToolCallStatus.TOOL_CALL_PENDING;
  const call = { id, ...describeCall(name, args), status, subAgentId };
  state.live.set(id, { ...asker, endedAt: "", error: "" });
  state.emit({ case: "toolCall", value: { messageId, call } });
  if (name !== "task") return;
  const task = { name: text(args["subagent_type"]), input: text(args["description"]), parentId: subAgentId };
  state.emit({ case: "subAgent", value: { subAgent: { id, ...task, status: SubAgentStatus.SUB_AGENT_PENDING } } });
}

interface CallDescription {
  readonly name: string;
  readonly args: JsonObject;
  readonly componentMetadata: MessageInitShape<typeof ComponentMetadataSchema>;
}

/** What a call's row says about what is called with what. */
export function describeCall(name: string, args: ToolCallRequest["args"]): CallDescription {
  const { type, group, layout, display } = inferComponent(name, args);
  const componentMetadata = {
    componentType: type,
    componentGroup: group,
    layoutHint: layout,
    metadata: display === undefined ? undefined : { display },
  };
  return { name, args: toJson(args), componentMetadata };
}

/** The tool runs. On a resumed run it may run once more: the row then keeps its first start. */
export function startCall(state: RunState, request: ToolCallRequest, { at, subAgentId }: Scene): void {
  if (request.name === "write_todos") return;
  if (!state.live.has(request.id)) announceCall(state, request, owner(state, request.id, subAgentId));
  const live = state.live.get(request.id);
  const row = state.fold.toolCall(request.id);
  if (live === undefined || row === undefined) return;
  if (row.name === "task" && !state.meters.has(row.id)) beginWork(state, row.id);
  if (row.status === ToolCallStatus.TOOL_CALL_RUNNING) return;
  if (row.startedAt === "") countToolCall(state, subAgentId);
  const startedAt = row.startedAt || at;
  const call = { id: row.id, status: ToolCallStatus.TOOL_CALL_RUNNING, startedAt };
  state.emit({ case: "toolCall", value: { messageId: live.messageId, call } });
  if (row.name !== "task") return;
  const subAgent = { id: row.id, status: SubAgentStatus.SUB_AGENT_IN_PROGRESS, startedAt };
  state.emit({ case: "subAgent", value: { subAgent } });
}

/**
 * The tool itself ended. Its row waits for the message with the result: only that has gone through the middleware that
 * masks secrets, stores large results aside and makes errors readable.
 */
export function endCall(state: RunState, id: string, { at, error }: { at: string; error: string }): void {
  const live = state.live.get(id);
  if (live !== undefined) Object.assign(live, { endedAt: at, error });
}

/** The result as the model gets it. Calls that never started (unknown tool, bad arguments) have only this. */
export function settleCall(state: RunState, result: ToolMessage, { at, subAgentId }: Scene): void {
  const { toolCallId: id, name, text, outcome, inBackground } = result;
  if (state.planning.has(id) || name === "write_todos") return;
  if (state.fold.toolCall(id) === undefined) {
    announceCall(state, { id, name, args: {} }, owner(state, id, subAgentId));
  }
  closeCall(state, id, {
    at,
    ...(outcome === "completed"
      ? { as: outcome, result: text, isTaken: inBackground }
      : { as: outcome, error: errorText(text) }),
  });
}

/**
 * A call of which nobody knows whether it happened, in a task whose start was not seen. Its other calls have no rows; of this
 * one whoever reads the status has to learn.
 */
export function tellUnknownCall(state: RunState, { toolCallId: id, name, text }: ToolMessage, at: string): void {
  if (state.fold.toolCall(id) === undefined) {
    announceCall(state, { id, name, args: {} }, { messageId: "", subAgentId: "" });
  }
  closeCall(state, id, { at, as: "unknown", error: errorText(text) });
}

/** How a call ends. */
export type CallEnd = { readonly at: string } &
  /** `isTaken`: of a task that is worked on in the background, whose row stays open. */
  (
    | { readonly as: "completed"; readonly result: string; readonly isTaken?: boolean }
    | { readonly as: "failed" | "cancelled" | "unknown"; readonly error: string }
  );

const callStatus = {
  completed: ToolCallStatus.TOOL_CALL_COMPLETED,
  failed: ToolCallStatus.TOOL_CALL_FAILED,
  cancelled: ToolCallStatus.TOOL_CALL_CANCELLED,
  unknown: ToolCallStatus.TOOL_CALL_OUTCOME_UNKNOWN,
} as const;
const subAgentStatus = {
  completed: SubAgentStatus.SUB_AGENT_COMPLETED,
  failed: SubAgentStatus.SUB_AGENT_FAILED,
  cancelled: SubAgentStatus.SUB_AGENT_CANCELLED,
  unknown: SubAgentStatus.SUB_AGENT_FAILED,
} as const;

/** Ends a call once; a call that has ended stays as it is. */
export function closeCall(state: RunState, id: string, end: CallEnd): void {
  const row = state.fold.toolCall(id);
  if (row === undefined || isSettled(row.status)) return;
  const live = state.live.get(id);
  state.live.delete(id);
  const completedAt = live?.endedAt || end.at;
  const result = (end.as === "completed" ? end.result : "").toWellFormed();
  const error = (end.as === "completed" ? "" : end.error).toWellFormed();
  const call = { id, status: callStatus[end.as], completedAt, result, error };
  const { messageId } = live ?? owner(state, id, row.subAgentId);
  state.emit({ case: "toolCall", value: { messageId, call } });
  if (row.name === "task" && !(end.as === "completed" && end.isTaken === true))
    closeTask(state, id, { ...end, at: completedAt });
}

/** Ends a sub-agent's task once, with all that it had open. */
export function closeTask(state: RunState, id: string, end: CallEnd): void {
  const row = state.fold.subAgent(id);
  if (row === undefined || isEnded(row.status)) return;
  closeMessages(state, id);
  closeWithin(state, id, end.at);
  const usage = endWork(state, id);
  const output = (end.as === "completed" ? end.result : "").toWellFormed();
  const error = (end.as === "completed" ? "" : end.error).toWellFormed();
  const subAgent = { id, status: subAgentStatus[end.as], completedAt: end.at, output, error, usage };
  state.emit({ case: "subAgent", value: { subAgent } });
}

/** A task is worked on in the background from here on, also when another runner began it. */
export function startTask(state: RunState, id: string, at: string): void {
  const row = state.fold.subAgent(id);
  if (row === undefined || isEnded(row.status)) return;
  if (!state.meters.has(id)) beginWork(state, id);
  if (row.status === SubAgentStatus.SUB_AGENT_IN_PROGRESS) return;
  const subAgent = { id, status: SubAgentStatus.SUB_AGENT_IN_PROGRESS, startedAt: row.startedAt || at };
  state.emit({ case: "subAgent", value: { subAgent } });
}

/** What came of a task in the background. */
export function settleTask(state: RunState, id: string, { outcome, text }: TaskResult, at: string): void {
  closeTask(
    state,
    id,
    outcome === "completed" ? { as: outcome, result: text, at } : { as: outcome, error: errorText(text), at },
  );
}

/** What a sub-agent had open when it ended. */
function closeWithin(state: RunState, taskId: string, at: string): void {
  for (const [id, { subAgentId }] of state.live) {
    if (subAgentId === taskId)
      closeCall(state, id, { as: "cancelled", at, error: "The sub-agent ended before this call did." });
  }
}

/** The message that holds the call, else the last thing its model said. Only for calls whose announcement was missed. */
export function owner(state: RunState, callId: string, subAgentId: string): Asker {
  const { messages } = state.fold.status;
  const holder = messages.findLast(({ toolCalls }) => toolCalls.some(({ id }) => id === callId));
  const last = messages.findLast((each) => each.type === MessageType.MESSAGE_AI && each.subAgentId === subAgentId);
  return { messageId: (holder ?? last)?.id ?? "", subAgentId };
}

function isEnded(status: SubAgentStatus): boolean {
  return (
    status === SubAgentStatus.SUB_AGENT_COMPLETED ||
    status === SubAgentStatus.SUB_AGENT_FAILED ||
    status === SubAgentStatus.SUB_AGENT_CANCELLED
  );
}

export function isSettled(status: ToolCallStatus): boolean {
  return (
    status !== ToolCallStatus.TOOL_CALL_STATUS_UNSPECIFIED &&
    status !== ToolCallStatus.TOOL_CALL_PENDING &&
    status !== ToolCallStatus.TOOL_CALL_RUNNING &&
    status !== ToolCallStatus.TOOL_CALL_WAITING_FOR_APPROVAL
  );
}

function toJson(args: Readonly<Record<string, unknown>>): JsonObject {
  try {
    return JSON.parse(JSON.stringify(args)) as JsonObject;
  } catch {
    return {};
  }
}

function text(value: unknown): string {
  return typeof value === "string" ? value.toWellFormed() : "";
}
