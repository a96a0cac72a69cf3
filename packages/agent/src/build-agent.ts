// Loaded by createAgent alone: from here on LangChain and deepagents are in memory.
import { HumanMessage } from "@langchain/core/messages";
import { toDeepAgentsBackend } from "@stigmer/sandbox/deepagents";
import type { Agent, AgentOptions, RunRequest } from "./agent.ts";
import { createAgentStack } from "./agent-stack.ts";
import { checkOptions } from "./check-options.ts";
import { AgentError } from "./errors.ts";
import { createWriteBehind } from "./ledger/run-writes.ts";
import { defaultResultLimit, shortenText } from "./limits/long-results.ts";
import { longInputs } from "./limits/long-inputs.ts";
import { openRunBudget } from "./limits/run-budget.ts";
import { createExecuteTool } from "./middleware/execute-tool.ts";
import { openRun } from "./open-run.ts";
import { withSpill } from "./spill-backend.ts";
import { allSubAgents, createAgentTree } from "./sub-agents/agent-tree.ts";
import type { BackgroundParts } from "./sub-agents/background-tasks.ts";
import { toAgentError } from "./to-agent-error.ts";

export async function buildAgent(options: AgentOptions): Promise<Agent> {
  checkOptions(options, allSubAgents(options));
  const { model: modelConfig, sandbox } = options;
  const { recursionLimit = 1000, commandTimeoutMs = 120_000, limits = {} } = options;
  const execute = createExecuteTool(sandbox, { timeoutMs: commandTimeoutMs });
  const backend = withSpill(toDeepAgentsBackend(sandbox), options.spillDirectory);
  const writes = createWriteBehind(options.checkpointer, { flushEach: options.ledger === undefined });
  const stackOf = createAgentStack({ options, backend, execute: execute.tool, writes });
  try {
    const { checkpointer } = writes;
    const putAside = longInputs(backend);
    const { graph, targets } = await createAgentTree({ options, backend, checkpointer, stackOf, putAside });
    const newMessage = (id: string, content: string): Promise<HumanMessage> =>
      putAside(new HumanMessage({ id, content }));
    const openBudget = (used: RunRequest["used"]) => openRunBudget({ limits, used, costOf: options.costOf });
    const { toolOutputLimit: limit = defaultResultLimit, maskToolOutput: mask } = options;
    const background: BackgroundParts = {
      targets,
      shorten: (report, toolCallId) => shortenText(report, toolCallId, { backend, limit, mask }),
      deleteThread: (threadId) => checkpointer.deleteThread(threadId),
    };
    const run = {
      background,
      recursionLimit,
      model: modelConfig,
      newMessage,
      settle: execute.settleAborted,
      writes,
      openBudget,
    };
    return { open: (request) => openRun(graph, request, run) };
  } catch (error) {
    const { code, message } = toAgentError(error, modelConfig);
    if (code !== "unknown") throw toAgentError(error, modelConfig);
    throw new AgentError("invalid-agent", `The agent can't be built. ${message}`, { cause: error });
  }
}
