import {
  type AgentExecution,
  ExecutionPhase,
  MessageType,
  SubAgentStatus,
  type ToolCall,
  ToolCallStatus,
  TodoStatus,
} from "@stigmer/protos/agentexecution/v1";
import { durationBetween, formatDuration } from "../../output/durations.ts";
import { oneLine } from "../../output/plain-text.ts";
import { summarize } from "../../output/run-view/run-summary.ts";
import { showPhase } from "../../resources/kinds.ts";
import { SECRET_MASK } from "../../resources/secret-values.ts";
import { beginning, type Section } from "./layout.ts";

/** Of many tool calls the latest are what one looks for. */
const MOST_CALLS = 20;

export function executionSections({ metadata, spec, status }: AgentExecution): Section[] {
  const calls = status?.toolCalls ?? [];
  const said = status?.messages.findLast(({ type, content }) => type === MessageType.MESSAGE_AI && content !== "");
  return [
    {
      fields: {
        Phase: showPhase(status?.phase ?? ExecutionPhase.EXECUTION_PHASE_UNSPECIFIED),
        Error: status?.error ?? "",
        Session: spec?.sessionId ?? "",
        Model: spec?.executionConfig?.modelName ?? "",
        Skills: (status?.skills ?? [])
          .map(({ name, subAgent }) => `${name}${subAgent ? ` (${subAgent})` : ""}`)
          .join(", "),
        Attempts: String(status?.timing?.attempts || ""),
      },
    },
    { title: "Used", text: status?.completedAt ? summarize(status, (_, text) => text) : "" },
    { title: "Message", text: beginning(spec?.message ?? "") },
    {
      title: "Variables",
      head: ["NAME", "VALUE"],
      rows: Object.entries(spec?.runtimeEnv ?? {}).map(([name, { value, isSecret }]) => [
        name,
        isSecret ? SECRET_MASK : oneLine(value, 60),
      ]),
    },
    {
      title: "Plan",
      head: ["STATUS", "TASK"],
      rows: Object.values(status?.todos ?? {}).map((todo) => [nameOf(TodoStatus[todo.status], "TODO_"), todo.content]),
    },
    {
      title: calls.length > MOST_CALLS ? `Tool calls (the latest ${MOST_CALLS} of ${calls.length})` : "Tool calls",
      head: ["ID", "STATUS", "TIME", "CALL"],
      rows: calls
        .slice(-MOST_CALLS)
        .map((call) => [call.id, nameOf(ToolCallStatus[call.status], "TOOL_CALL_"), took(call), describeCall(call)]),
    },
    {
      title: "Sub-agents",
      head: ["NAME", "STATUS", "TIME", "TASK"],
      rows: (status?.subAgentExecutions ?? []).map((task) => [
        task.name,
        nameOf(SubAgentStatus[task.status], "SUB_AGENT_"),
        took(task),
        oneLine(task.input, 60),
      ]),
    },
    { title: "Last words", text: beginning(said?.content ?? "", 20) },
    { title: "More", text: `stigmer execution watch ${metadata?.id}` },
  ];
}

/** `TOOL_CALL_COMPLETED` → `completed`. */
function nameOf(value: string | undefined, prefix: string): string {
  return (value ?? "").replace(prefix, "").replaceAll("_", " ").toLowerCase();
}

function took({ startedAt, completedAt }: { readonly startedAt: string; readonly completedAt: string }): string {
  const ms = durationBetween(startedAt, completedAt);
  return ms === undefined ? "" : formatDuration(ms);
}

function describeCall({ name, args }: ToolCall): string {
  const command = name === "execute" ? args?.["command"] : undefined;
  return oneLine(typeof command === "string" ? command : `${name} ${JSON.stringify(args ?? {})}`, 70);
}
