import { type AgentExecution, type AgentMessage, MessageType, type ToolCall } from "@stigmer/protos/agentexecution/v1";
import { isTerminal } from "@stigmer/status";

/** Something that happened in a run. */
export interface LogEntry {
  /** Names it, so that it is told once. */
  readonly key: string;
  /** RFC 3339. */
  readonly at: string;
  /** `you`, `agent`, `stigmer` or a sub-agent's name. */
  readonly who: string;
  readonly text: string;
}

/** All that is known of a run and won't change, in the order of time. A message that is still being written is left out. */
export function logEntries({ status }: AgentExecution): LogEntry[] {
  if (status === undefined) return [];
  const hasEnded = isTerminal(status.phase);
  const names = new Map(status.subAgentExecutions.map(({ id, name }) => [id, name]));
  const whoOf = (subAgentId: string): string => names.get(subAgentId) ?? (subAgentId || "agent");
  /** The last message of each, which may be going on. */
  const open = new Set<AgentMessage>();
  if (!hasEnded) {
    const last = new Map(status.messages.map((message) => [message.subAgentId, message]));
    for (const message of last.values()) if (message.toolCalls.length === 0) open.add(message);
  }
  const messages = status.messages.flatMap((message, at): LogEntry[] => {
    const { id, type, content, subAgentId, timestamp } = message;
    // What tools answered is told with their calls.
    if (type === MessageType.MESSAGE_TOOL || content.trim() === "" || open.has(message)) return [];
    const who =
      type === MessageType.MESSAGE_HUMAN ? "you" : type === MessageType.MESSAGE_SYSTEM ? "stigmer" : whoOf(subAgentId);
    return [{ key: `message ${id || at}`, at: timestamp, who, text: content.trim() }];
  });
  const calls = status.toolCalls.flatMap((call) => callEntries(call, whoOf(call.subAgentId)));
  const ends: LogEntry[] = hasEnded
    ? [
        {
          key: "end",
          at: status.completedAt,
          who: "stigmer",
          text: `run ended${status.error === "" ? "" : `: ${status.error}`}`,
        },
      ]
    : [];
  const inOrder = [...messages, ...calls].toSorted((a, b) => Date.parse(a.at) - Date.parse(b.at) || 0);
  return [...inOrder, ...ends];
}

function callEntries({ id, name, args, startedAt, completedAt, result, error }: ToolCall, who: string): LogEntry[] {
  const entries: LogEntry[] = [];
  if (startedAt !== "") {
    entries.push({ key: `start ${id}`, at: startedAt, who, text: `${name} ${JSON.stringify(args ?? {})}` });
  }
  if (completedAt !== "") {
    const text = error === "" ? `${name} → ${result}` : `${name} ✗ ${error}`;
    entries.push({ key: `end ${id}`, at: completedAt, who, text });
  }
  return entries;
}
