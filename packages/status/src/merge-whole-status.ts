import { clone } from "@bufbuild/protobuf";
import { type AgentExecutionStatus, AgentExecutionStatusSchema } from "@stigmer/protos/agentexecution/v1";
import { moveRun } from "./phase.ts";

/**
 * The status after an older runner reported its whole status: lists that are not empty replace, todos merge by key, usage
 * that is set replaces, and so do phase, error and times, unless they would leave a terminal phase. Audit, revision and
 * callback token stay the stored ones. Neither argument is changed; what is unchanged is shared with `stored`.
 */
export function mergeWholeStatus(stored: AgentExecutionStatus, reported: AgentExecutionStatus): AgentExecutionStatus {
  const incoming = clone(AgentExecutionStatusSchema, reported);
  const merged: AgentExecutionStatus = { ...stored };
  moveRun(merged, { ...incoming, phase: incoming.phase || stored.phase });
  if (incoming.messages.length > 0) merged.messages = incoming.messages;
  if (incoming.toolCalls.length > 0) merged.toolCalls = incoming.toolCalls;
  if (incoming.subAgentExecutions.length > 0) merged.subAgentExecutions = incoming.subAgentExecutions;
  merged.todos = { ...stored.todos, ...incoming.todos };
  merged.usage = incoming.usage ?? stored.usage;
  merged.timing = incoming.timing ?? stored.timing;
  if (incoming.skills.length > 0) merged.skills = incoming.skills;
  return merged;
}
