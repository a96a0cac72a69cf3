// One run on its thread: where it stands, and its events from there.
import type { BaseMessage } from "@langchain/core/messages";
import { isGraphDrained } from "@langchain/langgraph";
import { type AgentGraph, streamOptions } from "./agent-graph.ts";
import type { AgentEvent, AgentRun, RunControl, RunRequest } from "./agent.ts";
import {
  approvalsConfig,
  createRunApprovals,
  describeWaiting,
  isNews,
  type RunApprovals,
} from "./approvals/run-approvals.ts";
import { waitUntilPast } from "./checkpointer/wait-until-past.ts";
import { AgentError } from "./errors.ts";
import type { RunWrites, WriteBehind } from "./ledger/run-writes.ts";
import { budgetConfig, type RunBudget } from "./limits/run-budget.ts";
import type { RunUsage } from "./limits/run-limits.ts";
import type { ModelConfig } from "./models/model-config.ts";
import { readAhead } from "./read-ahead.ts";
import { createInbox, isSteering } from "./run-control/inbox.ts";
import { createRunGate, gateConfig, type RunGate } from "./run-control/run-gate.ts";
import { backgroundConfig, ordersIn } from "./sub-agents/background-orders.ts";
import { type BackgroundParts, type BackgroundTasks, createBackgroundTasks } from "./sub-agents/background-tasks.ts";
import { toAgentError } from "./to-agent-error.ts";

export interface OpenRunOptions {
  readonly background: BackgroundParts;
  readonly recursionLimit: number;
  readonly model: ModelConfig;
  /** What a person says to the agent. */
  newMessage(id: string, content: string): Promise<BaseMessage>;
  /** Resolves when what aborted runs had started is gone. */
  settle(): Promise<void>;
  /** What a run writes beside going on is waited for before it rests or ends, and ends it when it fails. */
  readonly writes: WriteBehind;
  /** Begins to count what a run uses. */
  openBudget(used: RunUsage | undefined): RunBudget;
}

export async function openRun(graph: AgentGraph, request: RunRequest, options: OpenRunOptions): Promise<AgentRun> {
  const { threadId, runId } = request;
  const thread = { thread_id: threadId };
  const state = await graph.getState({ configurable: thread }).catch((cause: unknown) => {
    throw unreadable(threadId, cause);
  });
  // Also what is done but not yet taken into the state is a step to go on from.
  const isPending = state.tasks.length > 0;
  const { position, messages, isLast } = locate(state.values.messages ?? [], runId, isPending);
  if (position !== "finished") await waitUntilPast(state.config.configurable?.checkpoint_id ?? "", { threadId });
  let used = false;

  /** Takes the graph on from where it stands, or from what was said, until it stops. */
  async function* advance(said: BaseMessage[], underWay: UnderWay): AsyncGenerator<AgentEvent, Stop> {
    const { gate, approvals, background, stopped, signal, writes, configurable } = underWay;
    try {
      const stream = await graph.stream(said.length === 0 ? null : { messages: said }, {
        ...streamOptions({ recursionLimit: options.recursionLimit, signal }),
        configurable: { ...thread, ...configurable },
      });
      const tuples = readAhead(stream);
      for (let next = ahead(tuples); ;) {
        const won = await (background.areAtWork ? Promise.race([next, background.arrival()]) : next);
        if (won?.kind === "failed") throw won.error;
        if (won?.kind === "done") return "ended";
        // Whoever stops a run asks for no more. At a limit what has happened before is still told: it has been used.
        stopped.throwIfAborted();
        // For each token: where nothing is to be told, nothing is awaited either.
        if (hasToTell(underWay)) yield* tell(underWay);
        background.goOn();
        if (won === undefined) continue;
        const [namespace, mode, data] = won.value;
        if (!isOwn({ mode, data })) yield { namespace, mode, data };
        if (isStart(mode, data)) background.release(data.toolCallId);
        next = ahead(tuples);
      }
    } catch (error) {
      if (!(error instanceof Error) || !isGraphDrained(error)) throw error;
      await writes.written();
      yield* approvals.take();
      return gate.rest.aborted || approvals.waitingIn("").length > 0 ? "resting" : "news";
    } finally {
      background.release();
    }
  }

  function hasToTell({ writes, approvals, background }: UnderWay): boolean {
    return writes.isBehind || approvals.hasToTell || background.hasToTell;
  }

  /** What there is to tell besides the graph's own events. */
  async function* tell({ writes, approvals, background }: UnderWay): AsyncGenerator<AgentEvent, void> {
    // Nobody is told of a result that the ledger might not have, nor of a call that the thread might not have: whoever went on with
    // the run would have to take it back.
    await writes.written();
    yield* background.takeEvents();
    yield* approvals.take();
  }

  /** Tells what background tasks do until the graph can go on, or until nothing is done any more. */
  async function* waitUntil(canGoOn: () => boolean, underWay: UnderWay): AsyncGenerator<AgentEvent, void> {
    const { background } = underWay;
    while (background.areAtWork && !canGoOn()) {
      await arrivalOrPoll(background.arrival());
      yield* tell(underWay);
      background.goOn();
    }
  }

  async function* events(control: RunControl = {}): AsyncGenerator<AgentEvent, void> {
    const { signal, pause, messages: said = () => [], decisions = () => [] } = control;
    if (used) throw new AgentError("unknown", `The events of run ${runId} were asked for twice. Open the run again.`);
    used = true;
    if (!isLast) return;
    const inbox = createInbox(runId, messages, said);
    const before = ordersIn(runId, messages);
    // Aborted also when the reader stops early: nothing runs on unseen.
    const ended = new AbortController();
    const broken = new AbortController();
    const writes = options.writes.open(threadId);
    const budget = options.openBudget(request.used);
    const own = [ended.signal, broken.signal, writes.failed];
    const stopped = AbortSignal.any(signal === undefined ? own : [...own, signal]);
    const stop = AbortSignal.any([stopped, budget.ended]);
    const approvals = createRunApprovals(decisions);
    const hasNews = (): boolean => inbox.hasNews() || background.hasNews();
    const gate = createRunGate({ pause, hasNews, restedFor: request.restedFor });
    const shared = { ...gateConfig(gate), ...approvalsConfig(approvals), ...budgetConfig(budget) };
    const background = createBackgroundTasks({
      ...options.background,
      runId,
      threadId,
      isOwn,
      recursionLimit: options.recursionLimit,
      signal: stop,
      configurable: shared,
      canGoOn: (place) => !gate.rest.aborted && approvals.canGoOn(place),
      forget: approvals.forget,
      fail: (error) => broken.abort(error),
    });
    const configurable = { ...shared, ...backgroundConfig((order) => background.begin(order, "this-step")) };
    const underWay: UnderWay = { gate, approvals, background, stopped, signal: stop, writes, configurable };
    try {
      let input = position === "fresh" ? [await options.newMessage(runId, request.input)] : [];
      let at: Stop = isPending ? "resting" : "ended";
      for (const order of before.open) background.begin(order);
      for (;;) {
        stop.throwIfAborted();
        background.goOn();
        // Not while tool calls wait for their turn: new input would make LangGraph forget them.
        const news = at === "resting" ? [] : await hear();
        input.push(...news);
        const isOver = at === "ended" && input.length === 0;
        const waits = approvals.waitingIn("").length > 0 && !approvals.canGoOn("");
        if (isOver || gate.rest.aborted || waits) {
          if (background.areAtWork) {
            yield* waitUntil(
              () => !gate.rest.aborted && (at === "resting" ? approvals.canGoOn("") : hasNews()),
              underWay,
            );
            continue;
          }
          if (isOver && !background.areUnfinished) {
            yield* tell(underWay);
            await background.tidy(before.heard);
            return;
          }
          break;
        }
        approvals.forget("");
        // LangGraph tells of no input: who reads the events learns of it here.
        if (news.length > 0) yield { namespace: [], mode: "updates", data: { inbox: { messages: news } } };
        at = yield* advance(input, underWay);
        // It has not come to rest, let alone to its end, before what it did is written down.
        await writes.settled();
        input = [];
      }
      yield* tell(underWay);
      await writes.settled();
    } catch (error) {
      if (signal?.aborted === true) throw signal.reason;
      if (budget.ended.aborted && !stopped.aborted) {
        await background.settled();
        yield* tell(underWay);
      }
      if (budget.ended.aborted) throw budget.ended.reason;
      if (broken.signal.aborted) throw broken.signal.reason;
      throw toAgentError(writes.failed.aborted ? writes.failed.reason : error, options.model);
    } finally {
      ended.abort();
      budget.close();
      await background.settled();
      await options.settle();
      await writes.close();
    }
    if (gate.ownPause !== undefined) throw new AgentError("paused", gate.ownPause);
    if (pause?.aborted === true) throw pause.reason;
    throw new AgentError("waiting-for-approval", describeWaiting(approvals.waiting));

    async function hear(): Promise<BaseMessage[]> {
      const said = await Promise.all(inbox.take().map(({ id, text }) => options.newMessage(id, text)));
      return [...said, ...background.takeNews()];
    }
  }

  return { position, messages, events };
}

interface UnderWay {
  readonly gate: RunGate;
  readonly approvals: RunApprovals;
  readonly background: BackgroundTasks;
  /** Aborted when nobody wants to know how it goes on, unlike at a limit. */
  readonly stopped: AbortSignal;
  /** Ends all that is under way, at a limit too. */
  readonly signal: AbortSignal;
  readonly writes: RunWrites;
  readonly configurable: Readonly<Record<string, unknown>>;
}

/** Milliseconds between two looks at what people said, while the agent waits for its background tasks. */
const pollMs = 200;

async function arrivalOrPoll(arrival: Promise<void>): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, pollMs);
  await Promise.race([arrival, promise]);
  clearTimeout(timer);
}

/** The next of a stream that something else may come before: its failure waits too. */
function ahead<T>(iterator: AsyncIterator<T>): Promise<Next<T>> {
  return iterator.next().then(
    ({ done, value }): Next<T> => (done === true ? { kind: "done" } : { kind: "value", value: value as T }),
    (error: unknown) => ({ kind: "failed", error }),
  );
}

type Next<T> =
  | { readonly kind: "value"; readonly value: T }
  | { readonly kind: "done" }
  | { readonly kind: "failed"; readonly error: unknown };

function isStart(mode: AgentEvent["mode"], data: unknown): data is { readonly toolCallId: string } {
  return mode === "tools" && (data as { readonly event?: unknown }).event === "on_tool_start";
}

/** What is told in another way. */
function isOwn({ mode, data }: Pick<AgentEvent, "mode" | "data">): boolean {
  return isRest(mode, data) || isNews({ mode, data });
}

/** Why the graph stopped: nothing is left to do, somebody spoke before a model call, or it rests with steps left. */
type Stop = "ended" | "news" | "resting";

/** Of a sub-agent that came to rest LangGraph says that its task failed. */
function isRest(mode: AgentEvent["mode"], data: unknown): boolean {
  const { event, error } = data as { event?: unknown; error?: unknown };
  return mode === "tools" && event === "on_tool_error" && error instanceof Error && isGraphDrained(error);
}

interface Place extends Pick<AgentRun, "position" | "messages"> {
  /** No later run of the thread has taken over. */
  readonly isLast: boolean;
}

/** A run's messages start with its human message, which bears its id, and end before the next run's. */
function locate(all: readonly BaseMessage[], runId: string, pending: boolean): Place {
  const start = all.findIndex(({ id }) => id === runId);
  if (start < 0) return { position: "fresh", messages: [], isLast: true };
  const next = all.findIndex((message, at) => at > start && message.type === "human" && !isSteering(runId, message));
  const isLast = next < 0;
  const messages = all.slice(start, isLast ? undefined : next);
  // Of a graph that had other steps, one of which came next: it begins again, with its message where it was.
  const isUnanswered = isLast && !pending && messages.every(({ type }) => type === "human");
  if (isUnanswered) return { position: "fresh", messages: [], isLast };
  const isUnfinished = pending || ordersIn(runId, messages).open.length > 0;
  return { position: isUnfinished && isLast ? "resumed" : "finished", messages, isLast };
}

function unreadable(threadId: string, cause: unknown): AgentError {
  const reason = cause instanceof Error ? cause.message : String(cause);
  const message = `The checkpoints of thread ${threadId} can't be read: ${reason}. Check the checkpoint database, or start a new session.`;
  return new AgentError("checkpoint", message, { cause });
}
