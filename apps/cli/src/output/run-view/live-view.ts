import { ExecutionPhase } from "@stigmer/protos/agentexecution/v1";
import { isTerminal } from "@stigmer/status";
import { splitMarkdown } from "../markdown/stable-markdown.ts";
import { oneLine, plainText } from "../plain-text.ts";
import type { RunEvent, SubAgentState, Todo, ToolState } from "./run-events.ts";
import type { Mask } from "./run-printer.ts";

/** A tool call or the task of a sub-agent. */
export interface Work {
  readonly state: ToolState | SubAgentState;
  readonly title: string;
  /** How deep in the tree of sub-agents: 0 is the agent itself. */
  readonly depth: number;
  readonly startedAt: string;
  readonly durationMs?: number;
  readonly error: string;
  /** Of a sub-agent under way: how many of its calls have ended. */
  readonly ended?: number;
}

/** What stays on the screen once it is written. */
export type Block =
  /** Whole blocks of Markdown; `goesOn` with the list of the block before. */
  | { readonly kind: "text"; readonly text: string; readonly goesOn: boolean }
  /** What Stigmer says. */
  | { readonly kind: "notice"; readonly text: string }
  | { readonly kind: "work"; readonly work: Work }
  /** The calls below are this sub-agent's. */
  | { readonly kind: "heading"; readonly text: string; readonly depth: number }
  | { readonly kind: "todos"; readonly todos: readonly Todo[] };

/** What may still change. */
export interface LiveState {
  /** Text whose block is not whole. */
  readonly text: string;
  readonly textGoesOn: boolean;
  /** Each sub-agent with its calls below it. */
  readonly work: readonly Work[];
  readonly todos: readonly Todo[];
}

export interface LiveView {
  add(event: RunEvent): void;
  /** What became final since the last time, and what is not. */
  take(): { readonly blocks: readonly Block[]; readonly live: LiveState };
  /** Makes open text final: nobody looks any more. */
  closeText(): void;
}

interface Placed {
  readonly work: Work;
  /** The sub-agent whose call it is. */
  readonly parent: string;
}

/** Sorts what happens in a run into what is final and what is not. */
export function createLiveView(mask: Mask): LiveView {
  let blocks: Block[] = [];
  let open = { text: "", goesOn: false, isNotice: false };
  const notices = new Set<string>();
  const calls = new Map<string, Placed>();
  const tasks = new Map<string, Placed>();
  /** What has ended of each task under way: it is written below the task, once that is over. */
  const below = new Map<string, Block[]>();
  /** Who each task works for. Its id is that of the call that handed it over. */
  const handedOver = new Map<string, string>();
  let todos: readonly Todo[] = [];
  /** Whose calls were written last. */
  let group = "";

  function closeText(): void {
    const { text, goesOn, isNotice } = open;
    open = { text: "", goesOn: false, isNotice: false };
    if (text.trim() === "") return;
    if (isNotice) blocks.push({ kind: "notice", text: clean(text) });
    else blocks.push({ kind: "text", text: clean(text), goesOn });
    group = "";
  }

  const clean = (text: string): string => plainText(mask(text));
  const line = (text: string, most?: number): string => oneLine(mask(text), most);

  function addTool(event: Extract<RunEvent, { type: "tool" }>): void {
    const { toolCallId, status: state, subAgents, subAgentId, startedAt, durationMs } = event;
    closeText();
    // The call that handed over a task: the sub-agent itself is shown.
    if (handedOver.has(toolCallId)) return;
    const title = line(event.display === "" ? event.name : `${event.name} ${event.display}`, 200);
    const error = line(event.error, 300);
    const work = { state, title, depth: subAgents.length, startedAt, durationMs, error };
    if (state === "pending" || state === "running" || state === "waiting-for-approval") {
      calls.set(toolCallId, { work, parent: subAgentId });
      return;
    }
    calls.delete(toolCallId);
    const underWay = findUnderWay(subAgentId);
    if (underWay !== undefined) return keepBelow(underWay, [{ kind: "work", work }]);
    if (group !== subAgentId && subAgentId !== "") {
      blocks.push({ kind: "heading", text: line(subAgents.at(-1) ?? ""), depth: subAgents.length - 1 });
    }
    group = subAgentId;
    blocks.push({ kind: "work", work });
  }

  function addTask(event: Extract<RunEvent, { type: "sub-agent" }>): void {
    const { subAgentId, parentId: parent, name, task, status: state, subAgents, startedAt, durationMs } = event;
    closeText();
    handedOver.set(subAgentId, parent);
    calls.delete(subAgentId);
    const title = line(task === "" ? name : `${name}: ${task}`, 200);
    const work = { state, title, depth: subAgents.length, startedAt, durationMs, error: line(event.error, 300) };
    if (state === "pending" || state === "running") {
      tasks.set(subAgentId, { work, parent });
      return;
    }
    endTask(subAgentId, { work, parent });
  }

  function keepBelow(taskId: string, ended: readonly Block[]): void {
    below.set(taskId, [...(below.get(taskId) ?? []), ...ended]);
  }

  /** Its line, and below it those of what it did: as they were drawn while it worked. */
  function endTask(id: string, { work, parent }: Placed): void {
    const tree: readonly Block[] = [{ kind: "work", work }, ...(below.get(id) ?? [])];
    tasks.delete(id);
    below.delete(id);
    const underWay = findUnderWay(parent);
    if (underWay !== undefined) return keepBelow(underWay, tree);
    blocks.push(...tree);
    // What is heard of its calls only now belongs there.
    group = id;
  }

  /** The task, or else the nearest of those that it works for, which has not ended. */
  function findUnderWay(taskId: string): string | undefined {
    let id: string | undefined = taskId;
    while (id !== undefined && !tasks.has(id)) id = handedOver.get(id);
    return id;
  }

  function addPhase(phase: ExecutionPhase): void {
    if (phase === ExecutionPhase.EXECUTION_PAUSED) {
      closeText();
      blocks.push({ kind: "notice", text: "Is paused." });
    }
    if (!isTerminal(phase)) return;
    closeText();
    // What is still drawn as running was not told how it ended.
    for (const { work, parent } of calls.values()) {
      const lost: Block = { kind: "work", work: { ...work, state: "outcome-unknown" } };
      const underWay = findUnderWay(parent);
      if (underWay !== undefined) keepBelow(underWay, [lost]);
      else blocks.push(lost);
    }
    calls.clear();
    // Those that work for others before these.
    for (const [id, { work, parent }] of [...tasks].toReversed()) {
      endTask(id, { work: { ...work, state: "outcome-unknown" }, parent });
    }
    if (todos.length > 0) blocks.push({ kind: "todos", todos });
    todos = [];
  }

  /** The work of one, and of those that work for it; "" is the agent itself, to which falls what nobody else is there for. */
  function workOf(id: string): Work[] {
    const isOwn = ({ parent }: Placed): boolean => parent === id || (id === "" && !tasks.has(parent));
    const own = [...calls.values()].filter(isOwn).map(({ work }) => work);
    const helpers = [...tasks].filter(([, task]) => isOwn(task));
    return [
      ...own,
      ...helpers.flatMap(([taskId, { work }]) => [
        { ...work, ended: below.get(taskId)?.length ?? 0 },
        ...workOf(taskId),
      ]),
    ];
  }

  return {
    add(event) {
      switch (event.type) {
        case "message":
          closeText();
          if (event.from === "stigmer") notices.add(event.messageId);
          break;
        case "text":
          open = { ...open, text: open.text + event.text, isNotice: notices.has(event.messageId) };
          break;
        case "tool":
          addTool(event);
          break;
        case "sub-agent":
          addTask(event);
          break;
        case "todos":
          todos = event.todos.map(({ content, status }) => ({ content: line(content, 200), status }));
          break;
        case "phase":
          addPhase(event.phase);
          break;
      }
    },
    take() {
      if (open.text !== "" && !open.isNotice) {
        const { stable, rest, restGoesOn } = splitMarkdown(open.text);
        if (stable.trim() !== "") {
          blocks.push({ kind: "text", text: clean(stable), goesOn: open.goesOn });
          open = { ...open, text: rest, goesOn: restGoesOn };
          group = "";
        }
      }
      const final = blocks;
      blocks = [];
      return {
        blocks: final,
        live: { text: clean(open.text), textGoesOn: open.goesOn, work: workOf(""), todos },
      };
    },
    closeText,
  };
}
