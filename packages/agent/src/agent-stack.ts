// What stands between an agent and its model and tools. deepagents gives a sub-agent none of its parent's middleware, so every
// agent of the tree, root and sub-agents alike, gets a stack of its own from here.
import type { StructuredTool } from "@langchain/core/tools";
import type { DeepAgentsBackend } from "@stigmer/sandbox/deepagents";
import type { AgentMiddleware } from "langchain";
import type { AgentOptions } from "./agent.ts";
import { approvals } from "./approvals/approvals-middleware.ts";
import type { WriteBehind } from "./ledger/run-writes.ts";
import { runBudget } from "./limits/budget-middleware.ts";
import { defaultResultLimit, longResults } from "./limits/long-results.ts";
import { repeatedCalls } from "./limits/repeated-calls-middleware.ts";
import { fileTools } from "./middleware/files.ts";
import { observedCalls } from "./middleware/observed-calls.ts";
import { portableContent } from "./middleware/portable-content.ts";
import { modelRetries } from "./models/model-retries.ts";
import { summaries } from "./middleware/summaries.ts";
import { todoList } from "./middleware/todos.ts";
import { toolErrors } from "./middleware/tool-errors.ts";
import { unansweredCalls } from "./middleware/unanswered-calls.ts";
import { createToolLedger } from "./middleware/tool-ledger.ts";
import type { ModelConfig } from "./models/model-config.ts";
import { restBetweenAttempts, runGate } from "./run-control/gate-middleware.ts";
import { type GateRuntime, requestOwnPause } from "./run-control/run-gate.ts";
import { subAgentMiddleware, type TaskTarget } from "./sub-agents/task-tool.ts";
import type { HasTool } from "./sub-agents/tool-lists.ts";

/** What all agents of the tree share. */
export interface StackParts {
  readonly options: AgentOptions;
  readonly backend: DeepAgentsBackend;
  /** Our `execute`, in place of deepagents'. */
  readonly execute: StructuredTool;
  readonly writes: WriteBehind;
}

/** One agent of the tree. */
export interface StackedAgent {
  /** `main` for the root, else the sub-agent's name. */
  readonly agentName: string;
  /** Its own, or the run's. */
  readonly model: ModelConfig;
  /** Whether people speak to it, and background tasks: true for the root alone. */
  readonly listens: boolean;
  /** Which of the tools that every agent could have this one has. */
  readonly has: HasTool;
  /** The agents that it can hand tasks to. */
  readonly targets: readonly TaskTarget[];
}

/**
 * Gives the function that makes one agent's middleware, to be called once for each agent. What they share is made here, once
 * for the tree.
 */
export function createAgentStack(parts: StackParts): (agent: StackedAgent) => AgentMiddleware[] {
  const { options, backend, execute, writes } = parts;
  const { limits = {}, toolOutputLimit = defaultResultLimit } = options;
  const writesOf = ({ configurable }: GateRuntime) => writes.of(configurable?.["thread_id"]);
  const ledger =
    options.ledger === undefined
      ? undefined
      : createToolLedger({
          ledger: options.ledger,
          serde: options.checkpointer.serde,
          requestPause: options.unknownOutcome === "pause" ? requestOwnPause : undefined,
          writesOf,
        });

  // Outermost first, for model calls and tool calls alike. The order is part of what each of them promises.
  return ({ agentName, listens, model, has, targets }) => [
    // Tools of deepagents' and ours.
    ...fileTools(backend, { execute, outputLimit: toolOutputLimit, has }),
    ...summaries(backend),
    unansweredCalls(),
    ...(has("write_todos") ? todoList() : []),
    subAgentMiddleware(has("task") ? targets : [], { inBackground: listens }),

    // Around a model call with all its attempts: what the model is shown.
    repeatedCalls({ most: limits.maxRepeatedCalls }),
    portableContent(),

    // Around the attempts.
    restBetweenAttempts(),
    modelRetries(model),

    // Each attempt, and each tool call, passes the run's gate before anything is asked, counted or written down for it.
    // No tool is looked at before the step that asks for it is written down.
    runGate({ listens, writesOf }),

    // Approvals: inside of the gate, so that a run that comes to rest asks nobody; outside of limits and ledger, so that a
    // call that waits for a person, or is refused, is neither counted nor written down as begun.
    ...(options.approvals === undefined ? [] : [approvals(options.approvals)]),

    // Limits: each attempt and each allowed call counts.
    runBudget(),

    // Innermost, so that nothing but the tool lies between its intent and its result: the ledger, what measures the call (one
    // whose result was recorded is made no more), and what turns a failure or a long result into what is recorded and read.
    ...(ledger === undefined ? [] : [ledger()]),
    observedCalls({ agentName, model, observer: options.observer }),
    longResults({ backend, limit: toolOutputLimit, mask: options.maskToolOutput }),
    toolErrors(),
  ];
}
