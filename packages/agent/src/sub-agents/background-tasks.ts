// The background tasks of one run: graphs beside the run's own, each on a thread of its own.
import { AsyncLocalStorage } from "node:async_hooks";
import type { HumanMessage } from "@langchain/core/messages";
import { isGraphDrained } from "@langchain/langgraph";
import type { AgentEvent } from "../agent.ts";
import { type StreamSettings, streamOptions } from "../agent-graph.ts";
import { type AgentError, isUnwritten } from "../errors.ts";
import { readAhead } from "../read-ahead.ts";
import { scrubError } from "../middleware/scrub.ts";
import { toAgentError } from "../to-agent-error.ts";
import { type BackgroundOrder, type BackgroundResult, resultMessage } from "./background-orders.ts";
import { backgroundPlace, backgroundThread, placeConfig } from "./background-place.ts";
import { reportOf, type SubAgentResumedEvent, type TaskTarget } from "./task-tool.ts";

/** What the agents of one description share. */
export interface BackgroundParts {
  readonly targets: ReadonlyMap<string, TaskTarget>;
  /** Makes of a report what the agent may be shown of it. */
  shorten(report: string, toolCallId: string): Promise<string>;
  deleteThread(threadId: string): Promise<void>;
}

export interface BackgroundOptions extends StreamSettings, BackgroundParts {
  readonly runId: string;
  readonly threadId: string;
  /** What every graph of the run finds in its `configurable`. */
  readonly configurable: Readonly<Record<string, unknown>>;
  /** Whether an event is none for those who read the run. */
  isOwn(event: Pick<AgentEvent, "mode" | "data">): boolean;
  /** Whether what made a task rest is over. Before it goes on, that is forgotten. */
  canGoOn(place: string): boolean;
  forget(place: string): void;
  /** Something happened that the run must not outlive. */
  fail(error: AgentError): void;
}

/** One run's. */
export interface BackgroundTasks {
  /**
   * Begins a task, or goes on with it where another process left it. One that is known already is left alone. What happens in
   * a task `of` this step is held back until `release`, so that the call that hands it over is told of first.
   */
  begin(order: BackgroundOrder, of?: "this-step"): void;
  /** The call was told of; without an id, all were. */
  release(toolCallId?: string): void;
  /** Goes on with the tasks that came to rest and need not rest any more. */
  goOn(): void;
  /** Some are being worked on. */
  readonly areAtWork: boolean;
  /** Some have not come to an end, also when they rest. */
  readonly areUnfinished: boolean;
  /** Some have come to an end that the agent has not been told. */
  hasNews(): boolean;
  /** What the agent has to be told, in the order in which it happened. From here on it counts as told. */
  takeNews(): HumanMessage[];
  /** Whether something happened since `takeEvents`. */
  readonly hasToTell: boolean;
  /** What happened since the last call. */
  takeEvents(): AgentEvent[];
  /** Resolves when something happens from here on. */
  arrival(): Promise<undefined>;
  /** Resolves when nothing is being worked on any more, however that ended. */
  settled(): Promise<void>;
  /** Deletes what tasks left behind, once their results are in the run's own thread. */
  tidy(heard: readonly BackgroundOrder[]): Promise<void>;
}

/** What `data` of an event of mode `tools` says about a background task, beside LangChain's own events. */
export interface BackgroundEvent {
  /**
   * The task is worked on from here, its events under the namespace of this one, here or in another process before; or it has
   * come to its end.
   */
  readonly event: "on_background_start" | "on_background_end";
  /** The call of `task` that handed it over. */
  readonly toolCallId: string;
  readonly name: "task";
  /** At its end. */
  readonly result?: BackgroundResult;
}

interface Task {
  readonly order: BackgroundOrder;
  state: "at-work" | "resting" | "ended";
  isHeldBack: boolean;
  work: Promise<void>;
}

export function createBackgroundTasks(options: BackgroundOptions): BackgroundTasks {
  const { runId, threadId, targets, recursionLimit, signal } = options;
  const tasks = new Map<string, Task>();
  const told: BackgroundOrder[] = [];
  let news: [BackgroundOrder, BackgroundResult][] = [];
  let events: [Task, AgentEvent][] = [];
  let arrived = Promise.withResolvers<undefined>();
  // A task is no part of the step in which it was handed over: LangGraph would find that step by the asynchronous context.
  const outside = AsyncLocalStorage.snapshot();

  const notify = (): void => {
    arrived.resolve(undefined);
    arrived = Promise.withResolvers();
  };
  const tell = (task: Task, event: AgentEvent): void => {
    events.push([task, event]);
    notify();
  };
  const tellOf = (task: Task, what: Pick<BackgroundEvent, "event" | "result">): void => {
    const data: BackgroundEvent = { ...what, toolCallId: task.order.toolCallId, name: "task" };
    tell(task, { namespace: [backgroundPlace(task.order.id)], mode: "tools", data });
  };

  async function work(task: Task): Promise<BackgroundResult> {
    const { id, name, description, toolCallId } = task.order;
    const target = targets.get(name);
    if (target === undefined) return { outcome: "failed", text: `There is no sub-agent "${name}" any more.` };
    const graph = target.backgroundGraph();
    const place = backgroundPlace(id);
    const thread = { thread_id: backgroundThread(threadId, id) };
    const configurable = { ...options.configurable, ...placeConfig(place), ls_agent_type: "subagent", ...thread };
    try {
      const { values, tasks: left } = await graph.getState({ configurable: thread });
      const before = values.messages ?? [];
      const isNew = before.length === 0;
      if (!isNew) {
        const data: SubAgentResumedEvent = { type: "sub_agent_resumed", toolCallId, messages: before };
        tell(task, { namespace: [place], mode: "custom", data });
      }
      if (isNew || left.length > 0) {
        const stream = await graph.stream(isNew ? await target.input(description) : null, {
          ...streamOptions({ recursionLimit, signal }),
          configurable,
          metadata: { lc_agent_name: name },
        });
        for await (const [namespace, mode, data] of readAhead(stream)) {
          if (options.isOwn({ mode, data })) notify();
          else tell(task, { namespace: [place, ...namespace], mode, data });
        }
      }
      const { messages = [] } = (await graph.getState({ configurable: thread })).values;
      return { outcome: "completed", text: await options.shorten(reportOf(messages), toolCallId) };
    } catch (error) {
      if (signal.aborted || (error instanceof Error && isGraphDrained(error))) throw error;
      const failure = toAgentError(error, target.model);
      // It can't write down what it does: the run must not go on as if it had.
      if (isUnwritten(failure)) throw failure;
      return { outcome: "failed", text: scrubError(failure.message) };
    }
  }

  async function carryOut(task: Task): Promise<void> {
    try {
      const result = await work(task);
      task.state = "ended";
      tellOf(task, { event: "on_background_end", result });
      news.push([task.order, result]);
    } catch (error) {
      task.state = "resting";
      const isRest = error instanceof Error && isGraphDrained(error);
      if (!isRest && !signal.aborted) options.fail(toAgentError(error));
    } finally {
      notify();
    }
  }

  function start(task: Task): void {
    task.state = "at-work";
    tellOf(task, { event: "on_background_start" });
    task.work = outside(() => carryOut(task));
  }

  // Asked for each token of a run, which mostly has none.
  const none: readonly Task[] = [];
  const all = (): readonly Task[] => (tasks.size === 0 ? none : [...tasks.values()]);
  return {
    begin(order, of) {
      if (tasks.has(order.id)) return;
      const isHeldBack = of === "this-step";
      const task: Task = { order, state: "resting", isHeldBack, work: Promise.resolve() };
      tasks.set(order.id, task);
      start(task);
    },
    release(toolCallId) {
      for (const task of all()) {
        if (toolCallId === undefined || task.order.toolCallId === toolCallId) task.isHeldBack = false;
      }
    },
    goOn() {
      for (const task of all()) {
        const place = backgroundPlace(task.order.id);
        if (signal.aborted || task.state !== "resting" || !options.canGoOn(place)) continue;
        options.forget(place);
        start(task);
      }
    },
    get areAtWork() {
      return all().some(({ state }) => state === "at-work");
    },
    get areUnfinished() {
      return all().some(({ state }) => state !== "ended");
    },
    hasNews: () => news.length > 0,
    takeNews() {
      const taken = news;
      news = [];
      told.push(...taken.map(([order]) => order));
      return taken.map(([order, result]) => resultMessage(runId, order, result));
    },
    get hasToTell() {
      return events.length > 0;
    },
    takeEvents() {
      const taken = events.filter(([task]) => !task.isHeldBack);
      events = events.filter(([task]) => task.isHeldBack);
      return taken.map(([, event]) => event);
    },
    arrival: () => arrived.promise,
    async settled() {
      await Promise.all(all().map((task) => task.work));
    },
    async tidy(heard) {
      const ids = new Set([...heard, ...told].map(({ id }) => id));
      // What stays goes with the run's own thread.
      await Promise.allSettled([...ids].map((id) => options.deleteThread(backgroundThread(threadId, id))));
    },
  };
}
