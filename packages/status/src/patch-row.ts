import type { SubAgentExecution, ToolCall } from "@stigmer/protos/agentexecution/v1";

/** What is set in `change` replaces, what is unset stays. Nested values are replaced whole, never changed. */
export function patchToolCall(row: ToolCall, change: ToolCall): void {
  row.name = change.name || row.name;
  row.args = change.args ?? row.args;
  row.result = change.result || row.result;
  row.status = change.status || row.status;
  row.componentMetadata = change.componentMetadata ?? row.componentMetadata;
  row.startedAt = change.startedAt || row.startedAt;
  row.completedAt = change.completedAt || row.completedAt;
  row.error = change.error || row.error;
  row.approval = change.approval ?? row.approval;
  row.subAgentId = change.subAgentId || row.subAgentId;
}

/** As {@link patchToolCall}. */
export function patchSubAgent(row: SubAgentExecution, change: SubAgentExecution): void {
  row.name = change.name || row.name;
  row.input = change.input || row.input;
  row.output = change.output || row.output;
  row.status = change.status || row.status;
  row.startedAt = change.startedAt || row.startedAt;
  row.completedAt = change.completedAt || row.completedAt;
  row.error = change.error || row.error;
  row.metadata = change.metadata ?? row.metadata;
  row.usage = change.usage ?? row.usage;
  row.parentId = change.parentId || row.parentId;
}
