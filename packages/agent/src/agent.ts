// What an agent is made from and what running one gives: plain data, no LangChain values besides the checkpointer.
import type { BaseCheckpointSaver } from "@langchain/langgraph-checkpoint";
import type { BaseMessage } from "@langchain/core/messages";
import type { StructuredTool } from "@langchain/core/tools";
import type { Sandbox } from "@stigmer/sandbox";
import type { ApprovalOptions } from "./approvals/approvals-middleware.ts";
import type { ApprovalDecision } from "./approvals/run-approvals.ts";
import type { ToolCallLedger } from "./ledger/tool-call-ledger.ts";
import type { CallObserver } from "./call-observer.ts";
import type { CostOf, RunLimits, RunUsage } from "./limits/run-limits.ts";
import type { ModelConfig } from "./models/model-config.ts";

/** Everything an agent needs to run. */
export interface AgentOptions {
  readonly model: ModelConfig;
  /** The agent's own system prompt. */
  readonly instructions: string;
  /** What `@stigmer/skills` says about the agent's skills; follows the instructions in the system prompt. */
  readonly skillsSection?: string;
  readonly context: AgentContext;
  /** Where the agent's commands run and its files live. The caller disposes of it. */
  readonly sandbox: Sandbox;
  /** Agents that this one can hand tasks to, besides `general-purpose`, which is always there. They may hand on to each other. */
  readonly subAgents?: readonly SubAgentSpec[];
  /** Tools besides those of the sandbox, such as those of MCP servers. Sub-agents have them too. */
  readonly tools?: readonly StructuredTool[];
  /** The only tools that the agent has, by name, those of the sandbox included; `*` stands for any characters. Empty: all. */
  readonly allowedTools?: readonly string[];
  /** Tools that the agent does not have, by name; `*` stands for any characters. They win over `allowedTools`. */
  readonly disallowedTools?: readonly string[];
  /**
   * Keeps a tool's effect from happening twice when a run goes on after a crash. Without it tools are run at least once.
   * One ledger serves one run.
   */
  readonly ledger?: ToolCallLedger;
  /**
   * When nobody knows whether a call happened: `tell-agent` lets the model go on with that knowledge; `pause` brings the run
   * to rest first, for a person to look. Default `tell-agent`.
   */
  readonly unknownOutcome?: "tell-agent" | "pause";
  /** Keeps every step, so that a run goes on where it was stopped. The caller closes it. */
  readonly checkpointer: BaseCheckpointSaver;
  /**
   * A directory of this machine for what is too long for the model's context (large tool results, summarised history).
   * Made for the first of them. The agent reads all of it: give each session its own, outside the user's tree.
   */
  readonly spillDirectory: string;
  /** Graph steps until a run fails with `recursion-limit`; a model call and its tool calls are two. Default 1000. */
  readonly recursionLimit?: number;
  /** Milliseconds that a command may take unless the model asks for another limit. Default 120,000. */
  readonly commandTimeoutMs?: number;
  /** Which tool calls a person has to allow, in every agent of the tree. Without it all of them run. */
  readonly approvals?: ApprovalOptions;
  /** What one run may use. A run that wants more fails with `limit-exceeded`, one that goes round in circles with `loop-detected`. */
  readonly limits?: RunLimits;
  /** What a model call costs, for `limits.maxCostUsd`. */
  readonly costOf?: CostOf;
  /**
   * Bytes of text that a tool's result may have. Of a longer one the model gets beginning and end, and the path of a file in
   * `spillDirectory` that has all of it. Default 30,000.
   */
  readonly toolOutputLimit?: number;
  /** Told of each model call and each tool call, in every agent of the tree, as it begins and as it ends. */
  readonly observer?: CallObserver;
  /** Takes secrets out of what tools answer, before anyone reads it or writes it down. */
  readonly maskToolOutput?: (text: string) => string;
}

/** What the model is told about where and for whom it works. */
export interface AgentContext {
  readonly organization?: string;
  /** The sandbox's root as commands see it. */
  readonly workingDirectory: string;
  /** Today, as the model shall read it, for example `2026-11-21`. */
  readonly date: string;
  /** A sentence about the place that the model must know, for example that its sandbox is not the one it had before. */
  readonly notice?: string;
}

export interface SubAgentSpec {
  /** What the model calls it by. Unique; `general-purpose` replaces the built-in one. */
  readonly name: string;
  /** Tells the model when to hand a task to it. */
  readonly description: string;
  readonly instructions: string;
  readonly skillsSection?: string;
  /** Default: the agent's. */
  readonly model?: ModelConfig;
  /** Tools besides those of the sandbox, in place of the agent's `tools`. Default: the agent's. */
  readonly tools?: readonly StructuredTool[];
  /**
   * As the agent's, and in place of the agent's lists. Empty: it has what those allow, its own `tools`, and `task` when it has
   * `subAgents`.
   */
  readonly allowedTools?: readonly string[];
  /** As the agent's. */
  readonly disallowedTools?: readonly string[];
  /** Which of the agent's `subAgents` it can hand tasks to, by name; not in a circle. Default: none. */
  readonly subAgents?: readonly string[];
}

/** An agent that is ready to run; holds no connection and needs no closing. */
export interface Agent {
  /**
   * Looks up where a run stands on its thread and prepares to start it, to go on with it, or to tell that it is done.
   * Throws `AgentError` `checkpoint` when the thread can't be read.
   */
  open(request: RunRequest): Promise<AgentRun>;
}

export interface RunRequest {
  /** The conversation. Runs of one thread remember each other; only one may run at a time. */
  readonly threadId: string;
  /** Identifies the run on its thread and becomes the id of its human message: the same id again is the same run. */
  readonly runId: string;
  /** What the person says. Ignored unless the run is fresh. */
  readonly input: string;
  /** What earlier attempts of the run have used of the agent's limits. */
  readonly used?: RunUsage;
  /**
   * The messages of `AgentError` `paused` that people have seen of this run. A run that has something to ask a person, by its thread,
   * and none of it is here, asks again: whoever asked first may have died before anybody heard of it. Default: opening the run again
   * is the answer.
   */
  readonly restedFor?: readonly string[];
}

/** One run of an agent: one human message and everything that follows from it. */
export interface AgentRun {
  /**
   * `fresh`: the thread doesn't know this run. `resumed`: it was stopped on the way and goes on from its last
   * checkpoint. `finished`: nothing is left to do (also when a later run of the thread has taken over); what people
   * say to a finished run that is its thread's last one makes it go on all the same.
   */
  readonly position: "fresh" | "resumed" | "finished";
  /** The run's messages that the checkpoint holds, its human message first. Empty when fresh. */
  readonly messages: readonly BaseMessage[];
  /**
   * Runs the agent and tells what happens, as it happens. May be called once. Ends when the run does; throws
   * `AgentError` when the run fails, the signal's reason when it is aborted, after the commands of the run are gone, and the
   * reason of `pause` when it came to rest (`AgentError` `paused` when the run itself asked for that, `waiting-for-approval`
   * when a person has to decide a tool call first: its event `on_tool_waiting` names it). Calls beside it run to their end.
   */
  events(control?: RunControl): AsyncIterable<AgentEvent>;
}

/** How a run under way is told what people want of it. */
export interface RunControl {
  /** Ends the run at once: the model call and the commands that are under way are broken off. */
  readonly signal?: AbortSignal;
  /**
   * Brings the run to rest: model calls and tools that are under way come to their end, nothing new is begun, then `events`
   * throws the signal's reason. The thread can be opened again later and goes on from there.
   */
  readonly pause?: AbortSignal;
  /**
   * What people said to the run, oldest first. Asked before each model call of the root agent, and when it is about to end;
   * what the thread does not have yet is told to the model. The same message may be given any number of times.
   */
  readonly messages?: () => readonly SteeringMessage[];
  /**
   * What people decided on calls that waited, also before this attempt. Asked for each call, and when the run is about to
   * rest: it goes on when one of those that wait was decided meanwhile.
   */
  readonly decisions?: () => readonly ApprovalDecision[];
}

/** Something said to a run under way. */
export interface SteeringMessage {
  /** Unique within the run. */
  readonly id: string;
  readonly text: string;
}

/** One event of the stream: LangGraph's `[namespace, mode, data]`, sub-agents included. */
export interface AgentEvent {
  /** Where it happened: `[]` is the root graph, `["tools:<task>", …]` a sub-agent. */
  readonly namespace: readonly string[];
  readonly mode: "messages" | "updates" | "tools" | "custom";
  readonly data: unknown;
}
