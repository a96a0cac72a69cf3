// One run on its thread: where it stands, and its events from there.
import type { BaseMessage } from "@langchain/core/messages";
import { isGraphDrained } from "@langchain/langgraph";
import type { AgentEvent, AgentRun, RunControl, RunRequest } from "./agent.ts";
import {
  approvalsConfig,
  createRunApprovals,
  describeWaiting,
  isNews,
  type RunApprovals,
} from "./approvals/run-approvals.ts";
import { AgentError } from "./errors.ts";
import type { RunWrites, WriteBehind } from "./ledger/run-writes.ts";
import { budgetConfig, type RunBudget } from "./limits/run-budget.ts";
import type { RunUsage } from "./limits/run-limits.ts";
import type { ModelConfig } from "./models/model-config.ts";
import { readAhead } from "./read-ahead.ts";
import { createInbox, isSteering } from "./run-control/inbox.ts";
import { createRunGate, gateConfig, type RunGate } from "./run-control/run-gate.ts";
import { toAgentError } from "./to-agent-error.ts";

/** The part of LangGraph's compiled graph that a run needs. */
export interface AgentGraph {
  getState(config: ThreadConfig): Promise<{ values: { messages?: BaseMessage[] }; next: readonly string[] }>;
  stream(input: { messages: BaseMessage[] } | null, options: StreamOptions): Promise<AsyncIterable<StreamTuple>>;
}

interface ThreadConfig {
  readonly configurable: { readonly thread_id: string };
}

interface StreamOptions extends ThreadConfig {
  readonly streamMode: AgentEvent["mode"][];
  readonly subgraphs: true;
  readonly durability: "sync";
  readonly recursionLimit: number;
  readonly signal: AbortSignal;
}

type StreamTuple = [namespace: string[], mode: AgentEvent["mode"], data: unknown];

export interface OpenRunOptions {
  readonly recursionLimit: number;
  readonly model: ModelConfig;
  newMessage(id: string, content: string): BaseMessage;
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
  const { position, messages, isLast } = locate(state.values.messages ?? [], runId, state.next.length > 0);
  let used = false;

  /** Takes the graph on from where it stands, or from what was said, until it stops. */
  async function* advance(
    said: BaseMessage[],
    { gate, approvals, budget, stopped, writes }: UnderWay,
  ): AsyncGenerator<AgentEvent, Stop> {
    try {
      const stream = await graph.stream(said.length === 0 ? null : { messages: said }, {
        configurable: { ...thread, ...gateConfig(gate), ...approvalsConfig(approvals), ...budgetConfig(budget) },
        streamMode: ["messages", "updates", "tools", "custom"],
        subgraphs: true,
        // A step's checkpoint is written before the next step starts: what was seen to happen is not done again. Only those
        // that wait for a tool's result on its way into the ledger come later: until then the ledger answers for them.
        durability: "sync",
        recursionLimit: options.recursionLimit,
        signal: AbortSignal.any([stopped, budget.ended]),
      });
      for await (const [namespace, mode, data] of readAhead(stream)) {
        // Whoever stops a run asks for no more. At a limit what has happened before is still told: it has been used.
        stopped.throwIfAborted();
        if (isRest(mode, data)) continue;
        // Nobody is told of a result that the ledger might not have: whoever went on with the run would have to take it back.
        await writes.written();
        yield* approvals.take();
        if (!isNews({ mode, data })) yield { namespace, mode, data };
      }
      return "ended";
    } catch (error) {
      if (!(error instanceof Error) || !isGraphDrained(error)) throw error;
      yield* approvals.take();
      return gate.rest.aborted || approvals.waiting.length > 0 ? "resting" : "news";
    }
  }

  async function* events(control: RunControl = {}): AsyncGenerator<AgentEvent, void> {
    const { signal, pause, messages: said = () => [], decisions = () => [] } = control;
    if (used) throw new AgentError("unknown", `The events of run ${runId} were asked for twice. Open the run again.`);
    used = true;
    if (!isLast) return;
    const inbox = createInbox(runId, messages, said);
    // Aborted also when the reader stops early: nothing runs on unseen.
    const ended = new AbortController();
    const writes = options.writes.open(threadId);
    const budget = options.openBudget(request.used);
    const own = [ended.signal, writes.failed];
    const stopped = AbortSignal.any(signal === undefined ? own : [...own, signal]);
    const gate = createRunGate(pause, inbox.hasNews);
    const approvals = createRunApprovals(decisions);
    try {
      let input = position === "fresh" ? [options.newMessage(runId, request.input)] : [];
      let at: Stop = position === "resumed" ? "resting" : "ended";
      for (;;) {
        signal?.throwIfAborted();
        // Not while tool calls wait for their turn: new input would make LangGraph forget them.
        const news = at === "resting" ? [] : inbox.take().map(({ id, text }) => options.newMessage(id, text));
        input.push(...news);
        if (at === "ended" && input.length === 0) return;
        if (gate.rest.aborted || (approvals.waiting.length > 0 && !approvals.canGoOn())) break;
        approvals.forget();
        // LangGraph tells of no input: who reads the events learns of it here.
        if (news.length > 0) yield { namespace: [], mode: "updates", data: { inbox: { messages: news } } };
        at = yield* advance(input, { gate, approvals, budget, stopped, writes });
        // It has not come to rest, let alone to its end, before what it did is written down.
        await writes.settled();
        input = [];
      }
    } catch (error) {
      if (signal?.aborted === true) throw signal.reason;
      if (budget.ended.aborted) throw budget.ended.reason;
      throw toAgentError(writes.failed.aborted ? writes.failed.reason : error, options.model);
    } finally {
      ended.abort();
      budget.close();
      await options.settle();
      await writes.close();
    }
    if (gate.ownPause !== undefined) throw new AgentError("paused", gate.ownPause);
    if (pause?.aborted === true) throw pause.reason;
    throw new AgentError("waiting-for-approval", describeWaiting(approvals.waiting));
  }

  return { position, messages, events };
}

interface UnderWay {
  readonly gate: RunGate;
  readonly approvals: RunApprovals;
  readonly budget: RunBudget;
  /** Aborted when nobody wants to know how it goes on, unlike at a limit. */
  readonly stopped: AbortSignal;
  readonly writes: RunWrites;
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
  return {
    position: pending && isLast ? "resumed" : "finished",
    messages: all.slice(start, isLast ? undefined : next),
    isLast,
  };
}

function unreadable(threadId: string, cause: unknown): AgentError {
  const reason = cause instanceof Error ? cause.message : String(cause);
  const message = `The checkpoints of thread ${threadId} can't be read: ${reason}. Check the checkpoint database, or start a new session.`;
  return new AgentError("checkpoint", message, { cause });
}
