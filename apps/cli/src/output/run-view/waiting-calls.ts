import { type AgentExecutionStatus, type ToolCall, ToolCallStatus } from "@stigmer/protos/agentexecution/v1";

/** Those that wait for a person, in the order in which they were asked for. */
export function waitingCalls(status: AgentExecutionStatus | undefined): ToolCall[] {
  return status?.toolCalls.filter((call) => call.status === ToolCallStatus.TOOL_CALL_WAITING_FOR_APPROVAL) ?? [];
}
