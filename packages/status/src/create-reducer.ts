import {
  type AgentExecutionStatus,
  ExecutionPhase,
  MessageType,
  type StatusChange,
} from "@stigmer/protos/agentexecution/v1";
import type { AgentEvent } from "./agent-event.ts";
import { startMessage } from "./conversation.ts";
import { finishRun, pauseRun, type RunOutcome, waitForApproval } from "./finish-run.ts";
import { isTerminal } from "./phase.ts";
import { isRecord } from "./read-content.ts";
import { reduceMessages } from "./reduce-messages.ts";
import { reduceTools } from "./reduce-tools.ts";
import { reduceUpdates } from "./reduce-updates.ts";
import { resumeRun, resumeSubAgent } from "./resume-run.ts";
import { route } from "./route-namespace.ts";
import { createPricing, type ModelPrices } from "./prices.ts";
import { createRunState, type ReadTiming, type RunState } from "./run-state.ts";
import { type SkillInUse, useSkills } from "./skills.ts";
import { beginWork, showWork, tellTiming, tellUsage } from "./usage.ts";

export interface ReducerOptions {
  /** The run's id, which is also the id of its human message, in the status and in the agent's thread. */
  readonly executionId: string;
  /** What the agent is asked: the text of the human message. */
  readonly message: string;
  /** The stored status of a run that another runner began. */
  readonly resumeFrom?: AgentExecutionStatus;
  /** What models cost, before the built-in {@link MODEL_PRICES}. */
  readonly prices?: ModelPrices;
  /** Where the time of the run went until then, in milliseconds since 1970. Without it the status says nothing of that. */
  readonly timing?: ReadTiming;
}

/** When something happened: a Date, or RFC 3339 text in UTC. Nothing here reads a clock. */
export type At = Date | string;

/** Turns the events of one run into changes of its status. Every call returns what changed, in order; often nothing. */
export interface Reducer {
  /** The status so far. It is the living object: clone it to keep a moment of it. */
  readonly status: AgentExecutionStatus;
  /** A runner begins, or goes on, to work on the run, also after a pause. Call it once, first. */
  start(at: At): StatusChange[];
  /**
   * Once, after `start`, when another runner worked on the run before: all messages in the state of the agent's thread,
   * none if it has no checkpoint. Half-streamed turns that the checkpoint lacks are taken back, for the agent says them
   * anew; what the runner before had not reported is added; running calls whose result is there get it.
   */
  resume(checkpointMessages: readonly unknown[], at: At): StatusChange[];
  /** The skills that the run has, all of them, once they are in the workspace. The same ones again change nothing. */
  skills(skills: readonly SkillInUse[], at: At): StatusChange[];
  /** One event of the stream. Never throws for an event's shape: what it cannot read changes nothing. */
  reduce(event: AgentEvent, at: At): StatusChange[];
  /**
   * The run has come to rest, for a reason that people are shown, in a message of its own: `""` adds none. It has not ended:
   * nothing is closed, events change nothing until somebody starts it again, and an end may still come. `itself`: nobody asked
   * for it, the run has a question; the change says so, for the server to keep the run until somebody resumes it.
   */
  pause(reason: string, at: At, how?: { readonly itself: boolean }): StatusChange[];
  /** As `pause`, until a person has decided one of the calls that wait for approval. */
  waitForApproval(at: At): StatusChange[];
  /** The run has ended: what still runs is closed with it. Later events and outcomes change nothing. */
  finish(outcome: RunOutcome, at: At): StatusChange[];
}

/** A reducer for one run. Its cost per event depends on the event, not on how long the run already is. */
export function createReducer({ executionId, message, resumeFrom, prices, timing }: ReducerOptions): Reducer {
  const state = createRunState({ executionId, resumeFrom, timing, pricing: createPricing(prices) });
  const step = (change: (at: string) => void, at: At): StatusChange[] => {
    state.now = typeof at === "string" ? Date.parse(at) : at.getTime();
    change(typeof at === "string" ? at : at.toISOString());
    const changes = state.take();
    if (changes.length > 0) showWork(state, "");
    return changes;
  };
  return {
    status: state.fold.status,
    start: (at) =>
      step((at) => {
        const startedAt = state.fold.status.startedAt || at;
        beginWork(state, "");
        state.emit({ case: "run", value: { phase: ExecutionPhase.EXECUTION_IN_PROGRESS, startedAt } });
        tellTiming(state);
        if (state.fold.message(executionId) !== undefined) return;
        startMessage(state, executionId, { type: MessageType.MESSAGE_HUMAN, at, text: message });
      }, at),
    resume: (messages, at) => step((at) => resumeRun(state, messages, at), at),
    skills: (skills, at) => step(() => useSkills(state, skills), at),
    reduce: (event, at) => step((at) => reduceEvent(state, event, at), at),
    pause: (reason, at, how) => step((at) => pauseRun(state, { reason, itself: how?.itself ?? false }, at), at),
    waitForApproval: (at) => step(() => waitForApproval(state), at),
    finish: (outcome, at) => step((at) => finishRun(state, outcome, at), at),
  };
}

/** What tools write for their own purposes is no part of the status; that a sub-agent goes on where it was is told this way, too. */
function reduceCustom(state: RunState, data: unknown, at: string): void {
  if (!isRecord(data) || data["type"] !== "sub_agent_resumed" || typeof data["toolCallId"] !== "string") return;
  if (Array.isArray(data["messages"])) resumeSubAgent(state, data["toolCallId"], data["messages"], at);
  tellUsage(state);
}

function reduceEvent(state: RunState, event: AgentEvent, at: string): void {
  const { phase } = state.fold.status;
  if (isTerminal(phase) || phase === ExecutionPhase.EXECUTION_PAUSED) return;
  switch (event.mode) {
    case "messages":
      reduceMessages(state, event, at);
      break;
    case "updates":
      reduceUpdates(state, event, at);
      tellUsage(state);
      break;
    case "tools":
      reduceTools(state, event, at);
      tellUsage(state);
      break;
    case "custom":
      reduceCustom(state, event.data, at);
      break;
  }
  if (state.changed) showWork(state, route(state, event).subAgentId);
}
