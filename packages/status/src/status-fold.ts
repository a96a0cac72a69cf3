import { clone, create } from "@bufbuild/protobuf";
import {
  AgentMessageSchema,
  type AgentExecutionStatus,
  AgentExecutionStatusSchema,
  type MessageStarted,
  type MessageUsage,
  SkillsReplacedSchema,
  type StatusChange,
  type StatusDelta,
  type SubAgentExecution,
  SubAgentExecutionSchema,
  TextKind,
  type TextAppended,
  TodosReplacedSchema,
  type ToolCall,
  type ToolCallChanged,
  ToolCallSchema,
} from "@stigmer/protos/agentexecution/v1";
import { checkDelta } from "./check-delta.ts";
import { mergeWholeStatus } from "./merge-whole-status.ts";
import { patchSubAgent, patchToolCall } from "./patch-row.ts";
import { moveRun } from "./phase.ts";
import { createStateHash } from "./state-hash.ts";
import { indexStatus, indexToolCall, type MessageRow, messageRow, type StatusIndex } from "./status-index.ts";
import { dropUtf8, utf8Length } from "./utf8.ts";

/** A status that deltas are applied to in place. */
export interface StatusFold {
  /** The status now. It is the living object: clone it to keep a moment of it, and change it by `apply` alone. */
  readonly status: AgentExecutionStatus;
  /**
   * Applies a delta, whole or not at all, at a cost that depends on the delta alone. The same delta once more changes
   * nothing, unless it begins a row anew that it took back, which then moves to the end. Throws a {@link StatusError}
   * when the delta does not continue this status.
   */
  apply(delta: StatusDelta): void;
  /**
   * The hash of the status now, but for audit, callback token and revision: two folds with the same hash show the same, by
   * whatever deltas and snapshots they came there. It begins with its rules' number and a colon; hashes by different rules
   * can't be compared ({@link hashesContradict}). The first call costs as much as the status is large, and from then on
   * deltas and calls cost what the deltas say.
   */
  hash(): string;
}

/** The status of a run before anything happened. */
export function emptyStatus(): AgentExecutionStatus {
  return create(AgentExecutionStatusSchema);
}

/** The status after `delta`; `status` stays as it is. Costs as much as the whole status: fold a series of deltas instead. */
export function applyDelta(status: AgentExecutionStatus, delta: StatusDelta): AgentExecutionStatus {
  const fold = createStatusFold(status);
  fold.apply(delta);
  return fold.status;
}

/** A fold that begins with a copy of `status`, or with the empty one. */
export function createStatusFold(status?: AgentExecutionStatus): StatusFold {
  return createRowFold(status);
}

/** A fold that also finds its rows by id; they are the living ones, to read only. */
export interface RowFold extends StatusFold {
  message(id: string): Readonly<MessageRow> | undefined;
  toolCall(id: string): Readonly<ToolCall> | undefined;
  subAgent(id: string): Readonly<SubAgentExecution> | undefined;
}

export function createRowFold(status?: AgentExecutionStatus): RowFold {
  const current = status === undefined ? emptyStatus() : clone(AgentExecutionStatusSchema, status);
  let index = indexStatus(current);

  const applyChange = ({ change }: StatusChange): void => {
    switch (change.case) {
      case "run":
        moveRun(current, change.value);
        break;
      case "messageStarted":
        startMessage(current, index, change.value);
        break;
      case "textAppended":
        appendText(index, change.value);
        break;
      case "messageRemoved":
        removeMessage(current, index, change.value.messageId);
        break;
      case "toolCall":
        changeToolCall(current, index, change.value);
        break;
      case "toolCallRemoved":
        removeToolCall(current, index, change.value.toolCallId);
        break;
      case "todos":
        current.todos = clone(TodosReplacedSchema, change.value).todos;
        break;
      case "subAgent":
        if (change.value.subAgent !== undefined) changeSubAgent(current, index, change.value.subAgent);
        break;
      case "usage":
        current.usage = { ...change.value };
        break;
      case "timing":
        current.timing = { ...change.value };
        break;
      case "messageUsage":
        setMessageUsage(index, change.value);
        break;
      case "skills":
        current.skills = clone(SkillsReplacedSchema, change.value).skills;
        break;
      case "merged":
        Object.assign(current, mergeWholeStatus(current, change.value));
        index = indexStatus(current);
        break;
      case undefined:
        break;
    }
  };

  return {
    status: current,
    hash: () => (index.hash ??= createStateHash(current)).read(),
    apply(delta) {
      checkDelta(index, delta);
      for (const change of delta.changes) applyChange(change);
    },
    message: (id) => index.messages.get(id),
    toolCall: (id) => index.toolCalls.get(id)?.[0],
    subAgent: (id) => index.subAgents.get(id),
  };
}

function startMessage(status: AgentExecutionStatus, index: StatusIndex, started: MessageStarted): void {
  if (index.messages.has(started.messageId)) return;
  const { messageId: id, type, timestamp, metadata, subAgentId } = started;
  const message = create(AgentMessageSchema, { id, type, timestamp, metadata, subAgentId });
  status.messages.push(message);
  index.messages.set(id, messageRow(message));
  index.hash?.messageAdded(message);
}

function appendText(index: StatusIndex, { messageId, kind, offset, text }: TextAppended): void {
  const row = index.messages.get(messageId);
  if (row === undefined) return;
  const reasoning = kind === TextKind.REASONING;
  const have = reasoning ? row.reasoningBytes : row.contentBytes;
  const end = offset + utf8Length(text);
  if (offset > have || end <= have) return;
  const rest = offset === have ? text : (dropUtf8(text, have - offset) ?? "");
  if (reasoning) {
    row.message.reasoning += rest;
    row.reasoningBytes = end;
    index.hash?.appended(row.message, "reasoning", rest);
  } else {
    row.message.content += rest;
    row.contentBytes = end;
    index.hash?.appended(row.message, "content", rest);
  }
}

function setMessageUsage(index: StatusIndex, { messageId, usage }: MessageUsage): void {
  const row = index.messages.get(messageId);
  if (row === undefined || usage === undefined) return;
  row.message.usage = { ...usage };
  index.hash?.changed(row.message);
}

function removeMessage(status: AgentExecutionStatus, index: StatusIndex, messageId: string): void {
  const row = index.messages.get(messageId);
  if (row === undefined) return;
  removeAt(index, status.messages, status.messages.lastIndexOf(row.message));
  index.messages.delete(messageId);
  for (const { id } of row.message.toolCalls) {
    removeById(index, status.toolCalls, id);
    index.toolCalls.delete(id);
  }
}

function changeToolCall(status: AgentExecutionStatus, index: StatusIndex, { messageId, call }: ToolCallChanged): void {
  const message = index.messages.get(messageId)?.message;
  // A message that is not there is one that this delta takes back again, or the check before would have thrown.
  if (call === undefined || (messageId !== "" && message === undefined)) return;
  const rows = index.toolCalls.get(call.id) ?? [addToolCall(status, index, call)];
  for (const row of rows) {
    patchToolCall(row, call);
    index.hash?.changed(row);
  }
  const [row] = rows;
  if (message !== undefined && row !== undefined && !message.toolCalls.some(({ id }) => id === call.id)) {
    message.toolCalls.push(row);
    index.hash?.toolCallAdded(message.toolCalls, row);
  }
}

function addToolCall(status: AgentExecutionStatus, index: StatusIndex, call: ToolCall): ToolCall {
  const row = clone(ToolCallSchema, call);
  status.toolCalls.push(row);
  indexToolCall(index, row);
  index.hash?.toolCallAdded(status.toolCalls, row);
  return row;
}

/** A sub-agent's task goes with the call that handed it over. */
function removeToolCall(status: AgentExecutionStatus, index: StatusIndex, id: string): void {
  removeById(index, status.toolCalls, id);
  for (const { toolCalls } of status.messages) removeById(index, toolCalls, id);
  removeById(index, status.subAgentExecutions, id);
  index.toolCalls.delete(id);
  index.subAgents.delete(id);
}

function changeSubAgent(status: AgentExecutionStatus, index: StatusIndex, change: SubAgentExecution): void {
  const row = index.subAgents.get(change.id);
  if (row !== undefined) {
    patchSubAgent(row, change);
    index.hash?.changed(row);
    return;
  }
  const added = clone(SubAgentExecutionSchema, change);
  status.subAgentExecutions.push(added);
  index.subAgents.set(added.id, added);
  index.hash?.subAgentAdded(added);
}

function removeById(index: StatusIndex, rows: { readonly id: string }[], id: string): void {
  removeAt(
    index,
    rows,
    rows.findLastIndex((row) => row.id === id),
  );
}

function removeAt(index: StatusIndex, rows: object[], at: number): void {
  if (at < 0) return;
  rows.splice(at, 1);
  index.hash?.removed(rows, at);
}
