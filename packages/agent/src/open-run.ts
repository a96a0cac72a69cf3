// One run on its thread: where it stands, and its events from there.
import type { BaseMessage } from "@langchain/core/messages";
import type { AgentEvent, AgentRun, RunControl, RunRequest } from "./agent.ts";
import { AgentError } from "./errors.ts";
import type { ModelConfig } from "./models/model-config.ts";
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
}

export async function openRun(graph: AgentGraph, request: RunRequest, options: OpenRunOptions): Promise<AgentRun> {
  const { threadId, runId, input } = request;
  const config: ThreadConfig = { configurable: { thread_id: threadId } };
  const state = await graph.getState(config).catch((cause: unknown) => {
    throw unreadable(threadId, cause);
  });
  const { position, messages } = locate(state.values.messages ?? [], runId, state.next.length > 0);
  let used = false;

  async function* events({ signal }: RunControl = {}): AsyncGenerator<AgentEvent, void> {
    if (used) throw new AgentError("unknown", `The events of run ${runId} were asked for twice. Open the run again.`);
    used = true;
    if (position === "finished") return;
    // Aborted also when the reader stops early: nothing runs on unseen.
    const stop = new AbortController();
    try {
      signal?.throwIfAborted();
      const stream = await graph.stream(
        position === "fresh" ? { messages: [options.newMessage(runId, input)] } : null,
        {
          ...config,
          streamMode: ["messages", "updates", "tools", "custom"],
          subgraphs: true,
          // A step's checkpoint is on disk before the next step starts: what was seen to happen is not done again.
          durability: "sync",
          recursionLimit: options.recursionLimit,
          signal: signal === undefined ? stop.signal : AbortSignal.any([signal, stop.signal]),
        },
      );
      for await (const [namespace, mode, data] of stream) yield { namespace, mode, data };
      signal?.throwIfAborted();
    } catch (error) {
      if (signal?.aborted === true) throw signal.reason;
      throw toAgentError(error, options.model);
    } finally {
      stop.abort();
      await options.settle();
    }
  }

  return { position, messages, events };
}

/** A run's messages start with its human message, which bears its id, and end before the next run's. */
function locate(all: readonly BaseMessage[], runId: string, pending: boolean): Pick<AgentRun, "position" | "messages"> {
  const start = all.findIndex(({ id }) => id === runId);
  if (start < 0) return { position: "fresh", messages: [] };
  const next = all.findIndex((message, index) => index > start && message.type === "human");
  const messages = all.slice(start, next < 0 ? undefined : next);
  return { position: pending && next < 0 ? "resumed" : "finished", messages };
}

function unreadable(threadId: string, cause: unknown): AgentError {
  const reason = cause instanceof Error ? cause.message : String(cause);
  const message = `The checkpoints of thread ${threadId} can't be read: ${reason}. Check the checkpoint database, or start a new session.`;
  return new AgentError("checkpoint", message, { cause });
}
