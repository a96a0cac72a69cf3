// Loaded by createAgent alone: from here on LangChain and deepagents are in memory.
import { HumanMessage } from "@langchain/core/messages";
import { toDeepAgentsBackend } from "@stigmer/sandbox/deepagents";
import { createDeepAgent, GENERAL_PURPOSE_SUBAGENT, type SubAgent } from "deepagents";
import type { Agent, AgentOptions, RunRequest, SubAgentSpec } from "./agent.ts";
import { createAgentStack } from "./agent-stack.ts";
import { AgentError } from "./errors.ts";
import { createWriteBehind } from "./ledger/run-writes.ts";
import { isOwnTool } from "./ledger/tool-classes.ts";
import { openRunBudget } from "./limits/run-budget.ts";
import { createExecuteTool } from "./middleware/execute-tool.ts";
import { createModel } from "./models/create-model.ts";
import { type AgentGraph, openRun } from "./open-run.ts";
import { withSpill } from "./spill-backend.ts";
import { composeSystemPrompt } from "./system-prompt.ts";
import { toAgentError } from "./to-agent-error.ts";

export async function buildAgent(options: AgentOptions): Promise<Agent> {
  check(options);
  const { model: modelConfig, sandbox, context } = options;
  const { recursionLimit = 1000, commandTimeoutMs = 120_000, limits = {} } = options;
  const execute = createExecuteTool(sandbox, { timeoutMs: commandTimeoutMs });
  const backend = withSpill(toDeepAgentsBackend(sandbox), options.spillDirectory);
  const writes = createWriteBehind(options.checkpointer, { flushEach: options.ledger === undefined });
  const stackOf = createAgentStack({ options, backend, execute: execute.tool, writes });
  const subAgent = async (spec: SubAgentSpec): Promise<SubAgent> => {
    const model = spec.model ?? modelConfig;
    return {
      name: spec.name,
      description: spec.description,
      systemPrompt: composeSystemPrompt(spec.instructions, spec.skillsSection, context),
      model: await createModel(model),
      tools: [...(spec.tools ?? options.tools ?? [])],
      middleware: stackOf({ agentName: spec.name, model, listens: false }),
    };
  };

  try {
    const agent = createDeepAgent({
      name: "main",
      model: await createModel(modelConfig),
      systemPrompt: composeSystemPrompt(options.instructions, options.skillsSection, context),
      tools: [...(options.tools ?? [])],
      middleware: stackOf({ agentName: "main", model: modelConfig, listens: true }),
      subagents: await Promise.all(withGeneralPurpose(options).map(subAgent)),
      backend,
      checkpointer: writes.checkpointer,
    });
    const graph = agent.graph as unknown as AgentGraph;
    const newMessage = (id: string, content: string): HumanMessage => new HumanMessage({ id, content });
    const openBudget = (used: RunRequest["used"]) => openRunBudget({ limits, used, costOf: options.costOf });
    const run = { recursionLimit, model: modelConfig, newMessage, settle: execute.settleAborted, writes, openBudget };
    return { open: (request) => openRun(graph, request, run) };
  } catch (error) {
    const { code, message } = toAgentError(error, modelConfig);
    if (code !== "unknown") throw toAgentError(error, modelConfig);
    throw new AgentError("invalid-agent", `The agent can't be built. ${message}`, { cause: error });
  }
}

function withGeneralPurpose({ subAgents = [], skillsSection }: AgentOptions): readonly SubAgentSpec[] {
  const { name, description, systemPrompt } = GENERAL_PURPOSE_SUBAGENT;
  if (subAgents.some((spec) => spec.name === name)) return subAgents;
  return [{ name, description, instructions: systemPrompt, skillsSection }, ...subAgents];
}

function check({ model, subAgents = [], tools = [], ...options }: AgentOptions): void {
  const { recursionLimit, commandTimeoutMs, toolOutputLimit } = options;
  const problems: string[] = [];
  // The description may come from a file: what the types promise is checked here.
  if (!(["anthropic", "openai", "ollama"] as string[]).includes(model.provider)) {
    problems.push(`there is no model provider "${String(model.provider)}" (known: anthropic, openai, ollama)`);
  }
  if (model.model.trim() === "") problems.push("the model has no name");
  if ("apiKey" in model && model.apiKey.trim() === "") problems.push(`the ${model.provider} model has no API key`);
  for (const [index, { name, description }] of subAgents.entries()) {
    if (name.trim() === "") problems.push(`sub-agent ${index + 1} has no name`);
    else if (description.trim() === "")
      problems.push(`sub-agent "${name}" has no description, which tells when to use it`);
    if (subAgents.findIndex((other) => other.name === name) < index)
      problems.push(`two sub-agents are called "${name}"`);
  }
  for (const [index, { name }] of tools.entries()) {
    if (isOwnTool(name)) problems.push(`a tool is called "${name}", as one that every agent has`);
    else if (tools.findIndex((other) => other.name === name) < index) problems.push(`two tools are called "${name}"`);
  }
  for (const [name, value] of Object.entries({ recursionLimit, commandTimeoutMs, toolOutputLimit })) {
    if (value !== undefined && !(value > 0)) problems.push(`${name} is ${value}, and must be above 0`);
  }
  if (problems.length === 0) return;
  throw new AgentError("invalid-agent", `The agent can't be built: ${problems.join("; ")}. Correct its description.`);
}
