// The part of LangGraph's compiled graph that running an agent on a thread of its own needs.
import type { BaseMessage } from "@langchain/core/messages";
import type { AgentEvent } from "./agent.ts";

export interface AgentGraph {
  getState(config: ThreadConfig): Promise<ThreadState>;
  stream(input: GraphInput | null, options: GraphStreamOptions): Promise<AsyncIterable<StreamTuple>>;
}

interface ThreadState {
  readonly values: { readonly messages?: BaseMessage[] };
  /** What is left to do, or is done but not yet taken into the state. */
  readonly tasks: readonly unknown[];
  /** Names the checkpoint that this is; none of a thread that has not begun. */
  readonly config: { readonly configurable?: { readonly checkpoint_id?: string } };
}

export interface GraphInput {
  readonly messages: BaseMessage[];
}

interface ThreadConfig {
  readonly configurable: { readonly thread_id: string };
}

interface GraphStreamOptions extends ThreadConfig {
  readonly streamMode: AgentEvent["mode"][];
  readonly subgraphs: true;
  readonly durability: "sync";
  readonly recursionLimit: number;
  readonly signal: AbortSignal;
  readonly metadata?: Readonly<Record<string, unknown>>;
}

type StreamTuple = [namespace: string[], mode: AgentEvent["mode"], data: unknown];

export interface StreamSettings {
  readonly recursionLimit: number;
  readonly signal: AbortSignal;
}

/** How every graph of a run is streamed. */
export function streamOptions({
  recursionLimit,
  signal,
}: StreamSettings): Pick<GraphStreamOptions, "streamMode" | "subgraphs" | "durability" | "recursionLimit" | "signal"> {
  return {
    streamMode: ["messages", "updates", "tools", "custom"],
    subgraphs: true,
    // A step's checkpoint is handed over before the next step starts. When it is written is the run's writes' to say: before
    // a tool call is looked at, so that what was seen to happen is not done again.
    durability: "sync",
    recursionLimit,
    signal,
  };
}
