import {
  type AgentExecutionStatus,
  type AgentMessage,
  ExecutionPhase,
  MessageType,
  type StatusDelta,
  type SubAgentExecution,
  SubAgentStatus,
  type ToolCall,
  ToolCallStatus,
  TodoStatus,
} from "@stigmer/protos/agentexecution/v1";
import { inferComponent } from "@stigmer/status";
import { durationBetween } from "../durations.ts";

export type ToolState =
  | "pending"
  | "running"
  | "completed"
  | "failed"
  | "cancelled"
  | "outcome-unknown"
  | "waiting-for-approval";

export type SubAgentState = "pending" | "running" | "completed" | "failed" | "cancelled";

export type TodoState = "pending" | "in-progress" | "completed" | "cancelled";

export interface Todo {
  readonly content: string;
  readonly status: TodoState;
}

/** What a watcher gets to see of a run, in order, each once: also after a lost connection and a new snapshot. */
export type RunEvent =
  | { readonly type: "message"; readonly messageId: string; readonly from: "agent" | "stigmer" }
  | { readonly type: "text"; readonly messageId: string; readonly text: string }
  | {
      readonly type: "tool";
      readonly toolCallId: string;
      readonly name: string;
      /** What the call is about (`kubectl get`, a path); empty when its name says it all. */
      readonly display: string;
      readonly status: ToolState;
      /** RFC 3339; empty before it started. */
      readonly startedAt: string;
      readonly durationMs?: number;
      readonly error: string;
      /** The sub-agents that called it, the outermost first; empty for the agent itself. */
      readonly subAgents: readonly string[];
      /** The innermost of them; empty for the agent itself. */
      readonly subAgentId: string;
    }
  | {
      readonly type: "sub-agent";
      readonly subAgentId: string;
      /** The sub-agent that it works for; empty for the agent itself. */
      readonly parentId: string;
      readonly name: string;
      /** What it was told to do. */
      readonly task: string;
      readonly status: SubAgentState;
      readonly startedAt: string;
      readonly durationMs?: number;
      readonly error: string;
      /** The sub-agents that it works for, the outermost first; empty when that is the agent itself. */
      readonly subAgents: readonly string[];
    }
  | { readonly type: "todos"; readonly todos: readonly Todo[] }
  | { readonly type: "phase"; readonly phase: ExecutionPhase; readonly error: string };

export interface RunReader {
  /** What is new in `status`. With the delta that led to it, only the rows that it names are looked at. */
  read(status: AgentExecutionStatus, delta?: StatusDelta): RunEvent[];
}

export interface RunReaderOptions {
  /** Leaves out the message that says a run's error, as long as this at most: whoever shows the run says it at its end. */
  readonly errorsUpTo?: number;
}

/** Reads statuses of one run, remembering only what it has told. */
export function createRunReader({ errorsUpTo = 0 }: RunReaderOptions = {}): RunReader {
  /** Characters of each message that were told. */
  const texts = new Map<string, number>();
  const tools = new Map<string, ToolState>();
  const subAgents = new Map<string, SubAgentState>();
  let todos = "";
  let phase = ExecutionPhase.EXECUTION_PHASE_UNSPECIFIED;

  const saysError = ({ error }: AgentExecutionStatus, { type, content }: AgentMessage): boolean =>
    type === MessageType.MESSAGE_SYSTEM && content === error && error.length <= errorsUpTo;

  function* readMessage(run: AgentExecutionStatus, id: string, message: AgentMessage | undefined): Generator<RunEvent> {
    if (message === undefined || saysError(run, message)) return;
    const from = speakers[message.type];
    // What sub-agents say is for the agent, which tells what matters of it.
    if (from === undefined || message.subAgentId !== "") return;
    const told = texts.get(id);
    if (told === undefined) yield { type: "message", messageId: id, from };
    const text = message.content.slice(told ?? 0);
    texts.set(id, Math.max(told ?? 0, message.content.length));
    if (text !== "") yield { type: "text", messageId: id, text };
  }

  function* readTool(run: AgentExecutionStatus, call: ToolCall | undefined): Generator<RunEvent> {
    if (call === undefined) return;
    const status = toolStates[call.status];
    if (status === undefined || tools.get(call.id) === status) return;
    tools.set(call.id, status);
    const { id: toolCallId, name, startedAt, completedAt, error } = call;
    const durationMs = durationBetween(startedAt, completedAt);
    const subAgents = subAgentsOf(run, call.subAgentId);
    const seen = { toolCallId, name, display: displayOf(call), status, startedAt, error, subAgents };
    const { subAgentId } = call;
    yield { type: "tool", ...seen, subAgentId, ...(durationMs !== undefined && { durationMs }) };
  }

  function* readSubAgent(run: AgentExecutionStatus, task: SubAgentExecution | undefined): Generator<RunEvent> {
    const status = task && subAgentStates[task.status];
    if (task === undefined || status === undefined || subAgents.get(task.id) === status) return;
    subAgents.set(task.id, status);
    const { id: subAgentId, name, input, startedAt, completedAt, error, parentId } = task;
    const durationMs = durationBetween(startedAt, completedAt);
    const seen = { subAgentId, parentId, name, task: input, status, startedAt, error };
    const above = subAgentsOf(run, parentId);
    yield { type: "sub-agent", ...seen, subAgents: above, ...(durationMs !== undefined && { durationMs }) };
  }

  function* readTodos(status: AgentExecutionStatus): Generator<RunEvent> {
    const now = Object.values(status.todos).map((item): Todo => ({
      content: item.content,
      status: todoStates[item.status] ?? "pending",
    }));
    const told = JSON.stringify(now);
    if (now.length === 0 || told === todos) return;
    todos = told;
    yield { type: "todos", todos: now };
  }

  function* readPhase({ phase: now, error }: AgentExecutionStatus): Generator<RunEvent> {
    if (now === phase) return;
    phase = now;
    yield { type: "phase", phase, error };
  }

  function* readAll(status: AgentExecutionStatus): Generator<RunEvent> {
    const talks = Map.groupBy(
      status.messages.map((message, index) => ({ id: message.id || `message-${index}`, message })),
      ({ message }) => message.subAgentId,
    );
    const tasks = new Map(status.subAgentExecutions.map((task) => [task.id, task]));
    const held = new Set<string>();
    /** Who looks at a run afterwards has what a sub-agent did below its task, as who was there. */
    function* readTalk(taskId: string): Generator<RunEvent> {
      const talk = talks.get(taskId) ?? [];
      talks.delete(taskId);
      for (const { id, message } of talk) {
        yield* readMessage(status, id, message);
        for (const call of message.toolCalls) {
          held.add(call.id);
          // Before its call, which is not shown beside it.
          yield* readSubAgent(status, tasks.get(call.id));
          yield* readTool(status, call);
          yield* readTalk(call.id);
        }
      }
    }
    yield* readTalk("");
    // Those of which no call is known.
    for (const taskId of talks.keys()) yield* readTalk(taskId);
    for (const call of status.toolCalls) if (!held.has(call.id)) yield* readTool(status, call);
    for (const task of status.subAgentExecutions) yield* readSubAgent(status, task);
    yield* readTodos(status);
    yield* readPhase(status);
  }

  function* readDelta(status: AgentExecutionStatus, delta: StatusDelta): Generator<RunEvent> {
    for (const { change } of delta.changes) {
      switch (change.case) {
        case "messageStarted":
        case "textAppended": {
          const { messageId } = change.value;
          yield* readMessage(
            status,
            messageId,
            status.messages.findLast(({ id }) => id === messageId),
          );
          break;
        }
        case "messageRemoved":
          // Its successor says it anew, as a message of its own.
          texts.delete(change.value.messageId);
          break;
        case "toolCall": {
          const id = change.value.call?.id;
          yield* readTool(
            status,
            status.toolCalls.findLast((call) => call.id === id),
          );
          break;
        }
        case "toolCallRemoved":
          tools.delete(change.value.toolCallId);
          break;
        case "subAgent": {
          const id = change.value.subAgent?.id;
          yield* readSubAgent(
            status,
            status.subAgentExecutions.findLast((task) => task.id === id),
          );
          break;
        }
        case "todos":
          yield* readTodos(status);
          break;
        case "run":
          yield* readPhase(status);
          break;
        case "merged":
          yield* readAll(status);
          break;
        default:
          break;
      }
    }
  }

  return { read: (status, delta) => [...(delta ? readDelta(status, delta) : readAll(status))] };
}

/** What the agent said last: the answer of a run. */
export function finalAnswer(status: AgentExecutionStatus): string {
  return (
    status.messages.findLast(
      ({ type, content, subAgentId }) => type === MessageType.MESSAGE_AI && subAgentId === "" && content.trim() !== "",
    )?.content ?? ""
  );
}

function subAgentsOf({ subAgentExecutions }: AgentExecutionStatus, taskId: string): string[] {
  const names: string[] = [];
  // No chain of tasks is longer than there are tasks.
  for (let id = taskId; id !== "" && names.length < subAgentExecutions.length;) {
    const task = subAgentExecutions.find((each) => each.id === id);
    if (task === undefined) break;
    names.unshift(task.name);
    id = task.parentId;
  }
  return names;
}

function displayOf({ name, args, componentMetadata }: ToolCall): string {
  const display = componentMetadata?.metadata?.["display"];
  if (typeof display === "string") return display;
  return inferComponent(name, args ?? {}).display ?? "";
}

const speakers: Readonly<Partial<Record<MessageType, "agent" | "stigmer">>> = {
  [MessageType.MESSAGE_AI]: "agent",
  [MessageType.MESSAGE_SYSTEM]: "stigmer",
};

const toolStates: Readonly<Partial<Record<ToolCallStatus, ToolState>>> = {
  [ToolCallStatus.TOOL_CALL_PENDING]: "pending",
  [ToolCallStatus.TOOL_CALL_RUNNING]: "running",
  [ToolCallStatus.TOOL_CALL_COMPLETED]: "completed",
  [ToolCallStatus.TOOL_CALL_FAILED]: "failed",
  [ToolCallStatus.TOOL_CALL_CANCELLED]: "cancelled",
  [ToolCallStatus.TOOL_CALL_OUTCOME_UNKNOWN]: "outcome-unknown",
  [ToolCallStatus.TOOL_CALL_WAITING_FOR_APPROVAL]: "waiting-for-approval",
};

const subAgentStates: Readonly<Partial<Record<SubAgentStatus, SubAgentState>>> = {
  [SubAgentStatus.SUB_AGENT_PENDING]: "pending",
  [SubAgentStatus.SUB_AGENT_IN_PROGRESS]: "running",
  [SubAgentStatus.SUB_AGENT_COMPLETED]: "completed",
  [SubAgentStatus.SUB_AGENT_FAILED]: "failed",
  [SubAgentStatus.SUB_AGENT_CANCELLED]: "cancelled",
};

const todoStates: Readonly<Partial<Record<TodoStatus, TodoState>>> = {
  [TodoStatus.TODO_PENDING]: "pending",
  [TodoStatus.TODO_IN_PROGRESS]: "in-progress",
  [TodoStatus.TODO_COMPLETED]: "completed",
  [TodoStatus.TODO_CANCELLED]: "cancelled",
};
