import { create, type MessageInitShape } from "@bufbuild/protobuf";
import {
  ExecutionPhase,
  MessageType,
  StatusDeltaSchema,
  SubAgentStatus,
  TextKind,
  ToolCallStatus,
} from "@stigmer/protos/agentexecution/v1";
import type {
  AgentExecutionStatus,
  ExecutionUsage,
  StatusChange,
  StatusDelta,
} from "@stigmer/protos/agentexecution/v1";
import { isTerminal } from "@stigmer/status";

type StatusChangeInit = NonNullable<MessageInitShape<typeof StatusDeltaSchema>["changes"]>[number];

export interface Ending {
  readonly phase: ExecutionPhase;
  /** Why, for people; also told as a message when the run failed. */
  readonly error: string;
  /** RFC 3339. */
  readonly completedAt: string;
  /** RFC 3339. Undefined: as it is known already. */
  readonly startedAt?: string;
  /** Undefined: as it is known already. */
  readonly usage?: ExecutionUsage;
  /** Names the message that tells about the failure. */
  readonly messageId: string;
}

/**
 * How the server ends a run that no runner will end: what was open is closed with it. Whether a tool that was running
 * did its work, nobody knows any more.
 */
export function closingDelta(status: AgentExecutionStatus, ending: Ending): StatusDelta {
  const { phase, error, startedAt, completedAt, usage } = ending;
  const changes: StatusChangeInit[] = [...openToolCalls(status, ending), ...openSubAgents(status, ending)];
  if (phase === ExecutionPhase.EXECUTION_FAILED && error !== "") changes.push(...failureMessage(ending));
  if (usage) changes.push({ change: { case: "usage", value: usage } });
  changes.push({ change: { case: "run", value: { phase, error, startedAt, completedAt } } });
  return create(StatusDeltaSchema, { changes });
}

/** Gives a change that ends the run a time of its end when the runner left it out. */
export function withEndTime(delta: StatusDelta, at: string): StatusDelta {
  const lacksTime = ({ change }: StatusChange): boolean =>
    (change.case === "run" || change.case === "merged") &&
    isTerminal(change.value.phase) &&
    change.value.completedAt === "";
  if (!delta.changes.some(lacksTime)) return delta;
  return { ...delta, changes: delta.changes.map((change) => (lacksTime(change) ? stamped(change, at) : change)) };
}

function stamped(row: StatusChange, at: string): StatusChange {
  const { change } = row;
  if (change.case === "run") return { ...row, change: { case: "run", value: { ...change.value, completedAt: at } } };
  if (change.case === "merged")
    return { ...row, change: { case: "merged", value: { ...change.value, completedAt: at } } };
  return row;
}

function openToolCalls(status: AgentExecutionStatus, { completedAt, error }: Ending): StatusChangeInit[] {
  return status.toolCalls.flatMap((call): StatusChangeInit[] => {
    const closed = CLOSED_TOOL_CALL.get(call.status);
    if (closed === undefined) return [];
    return [{ change: { case: "toolCall", value: { call: { id: call.id, status: closed, completedAt, error } } } }];
  });
}

const CLOSED_TOOL_CALL: ReadonlyMap<ToolCallStatus, ToolCallStatus> = new Map([
  [ToolCallStatus.TOOL_CALL_STATUS_UNSPECIFIED, ToolCallStatus.TOOL_CALL_CANCELLED],
  [ToolCallStatus.TOOL_CALL_PENDING, ToolCallStatus.TOOL_CALL_CANCELLED],
  [ToolCallStatus.TOOL_CALL_WAITING_FOR_APPROVAL, ToolCallStatus.TOOL_CALL_CANCELLED],
  [ToolCallStatus.TOOL_CALL_RUNNING, ToolCallStatus.TOOL_CALL_OUTCOME_UNKNOWN],
]);

function openSubAgents(status: AgentExecutionStatus, { phase, error, completedAt }: Ending): StatusChangeInit[] {
  const failed = phase === ExecutionPhase.EXECUTION_FAILED;
  return status.subAgentExecutions
    .filter(({ status }) => OPEN_SUB_AGENT.has(status))
    .map(({ id }) => {
      const closed = failed ? SubAgentStatus.SUB_AGENT_FAILED : SubAgentStatus.SUB_AGENT_CANCELLED;
      return { change: { case: "subAgent", value: { subAgent: { id, status: closed, completedAt, error } } } };
    });
}

const OPEN_SUB_AGENT: ReadonlySet<SubAgentStatus> = new Set([
  SubAgentStatus.SUB_AGENT_STATUS_UNSPECIFIED,
  SubAgentStatus.SUB_AGENT_PENDING,
  SubAgentStatus.SUB_AGENT_IN_PROGRESS,
]);

function failureMessage({ messageId, error, completedAt }: Ending): StatusChangeInit[] {
  const started = { messageId, type: MessageType.MESSAGE_SYSTEM, timestamp: completedAt };
  const text = { messageId, kind: TextKind.CONTENT, offset: 0, text: error };
  return [{ change: { case: "messageStarted", value: started } }, { change: { case: "textAppended", value: text } }];
}
