import { ExecutionPhase } from "@stigmer/protos/agentexecution/v1";
import { oneLine, plainText } from "../plain-text.ts";
import type { RunEvent, Todo, ToolState } from "./run-events.ts";

/** A line of the view, not yet painted. */
export type RunLine =
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "notice"; readonly text: string }
  | {
      readonly kind: "tool";
      readonly state: ToolState;
      readonly title: string;
      readonly durationMs?: number;
      readonly error: string;
    }
  | { readonly kind: "todo"; readonly todo: Todo };

/** What is on the screen: nothing in it is ever changed in place. */
export interface RunView {
  /** Text that has no line break yet, by message. */
  readonly open: ReadonlyMap<string, string>;
  /** Tool calls that have not ended, in the order they came. */
  readonly running: ReadonlyMap<string, Extract<RunLine, { kind: "tool" }>>;
  readonly todos: readonly Todo[];
  readonly notices: ReadonlySet<string>;
}

export interface Step {
  readonly view: RunView;
  /** Lines that are final: they go out once and are never drawn again. */
  readonly lines: readonly RunLine[];
}

export const emptyView: RunView = { open: new Map(), running: new Map(), todos: [], notices: new Set() };

/** Takes one event into the view. */
export function addEvent(view: RunView, event: RunEvent): Step {
  switch (event.type) {
    case "message": {
      const { view: closed, lines } = closeText(view);
      if (event.from === "agent") return { view: closed, lines };
      return { view: { ...closed, notices: new Set([...closed.notices, event.messageId]) }, lines };
    }
    case "text":
      return addText(view, event);
    case "tool":
      return addTool(view, event);
    case "sub-agent":
      // Its calls name it.
      return { view, lines: [] };
    case "todos":
      return addTodos(view, event.todos);
    case "phase":
      return addPhase(view, event.phase);
  }
}

/** Makes all open text final: the speaker changes, a tool is used, the run ends, or nobody looks any more. */
export function closeText(view: RunView): Step {
  if (view.open.size === 0) return { view, lines: [] };
  const lines = [...view.open].flatMap(([messageId, text]) => textLines(view, messageId, text));
  return { view: { ...view, open: new Map() }, lines };
}

function addText(view: RunView, { messageId, text }: Extract<RunEvent, { type: "text" }>): Step {
  const whole = (view.open.get(messageId) ?? "") + text;
  const end = whole.lastIndexOf("\n");
  const open = new Map(view.open);
  if (end + 1 < whole.length) open.set(messageId, whole.slice(end + 1));
  else open.delete(messageId);
  return { view: { ...view, open }, lines: end < 0 ? [] : textLines(view, messageId, whole.slice(0, end)) };
}

function textLines({ notices }: RunView, messageId: string, text: string): RunLine[] {
  const kind = notices.has(messageId) ? "notice" : "text";
  return plainText(text)
    .split("\n")
    .map((line) => ({ kind, text: line.trimEnd() }));
}

function addTool(view: RunView, event: Extract<RunEvent, { type: "tool" }>): Step {
  const { toolCallId, status, durationMs, error } = event;
  const what = event.display === "" ? event.name : `${event.name} ${event.display}`;
  const title = oneLine([...event.subAgents, what].join(" › "));
  const line = { kind: "tool", state: status, title, durationMs, error: oneLine(error, 300) } as const;
  const { view: closed, lines } = closeText(view);
  const running = new Map(closed.running);
  if (status === "pending" || status === "running" || status === "waiting-for-approval") {
    running.set(toolCallId, line);
    return { view: { ...closed, running }, lines };
  }
  running.delete(toolCallId);
  return { view: { ...closed, running }, lines: [...lines, line] };
}

/** The whole plan when it is new, then only what changed in it. */
function addTodos(view: RunView, todos: readonly Todo[]): Step {
  const before = new Map(view.todos.map(({ content, status }) => [content, status]));
  const changed = todos.filter(({ content, status }) => before.get(content) !== status);
  const { view: closed, lines } = closeText(view);
  return { view: { ...closed, todos }, lines: [...lines, ...changed.map((todo): RunLine => ({ kind: "todo", todo }))] };
}

function addPhase(view: RunView, phase: ExecutionPhase): Step {
  const notice = phaseNotices[phase];
  if (notice === undefined) return { view, lines: [] };
  const { view: closed, lines } = closeText(view);
  if (notice !== "") return { view: closed, lines: [...lines, { kind: "notice", text: notice }] };
  // The run has ended: what is still drawn as running was not told how it ended.
  const left = [...closed.running.values()].map((line): RunLine => ({ ...line, state: "outcome-unknown" }));
  return { view: { ...closed, running: new Map() }, lines: [...lines, ...left] };
}

/** Said when a run gets there; empty for an end, which has its own last line. Absent: nothing to tell. */
const phaseNotices: Readonly<Partial<Record<ExecutionPhase, string>>> = {
  [ExecutionPhase.EXECUTION_WAITING_FOR_APPROVAL]: "Waits for approval.",
  [ExecutionPhase.EXECUTION_PAUSED]: "Is paused.",
  [ExecutionPhase.EXECUTION_COMPLETED]: "",
  [ExecutionPhase.EXECUTION_FAILED]: "",
  [ExecutionPhase.EXECUTION_CANCELLED]: "",
  [ExecutionPhase.EXECUTION_TERMINATED]: "",
};
