// What the types promise of a description is checked here: it may come from a file.
import type { AgentOptions, SubAgentSpec } from "./agent.ts";
import { AgentError } from "./errors.ts";
import { isOwnTool, ownToolNames } from "./ledger/tool-classes.ts";
import type { ModelConfig } from "./models/model-config.ts";
import { familyProblems } from "./sub-agents/family.ts";
import { toolListProblems } from "./sub-agents/tool-lists.ts";

/** Throws `AgentError` `invalid-agent` that names everything which is wrong. */
export function checkOptions(options: AgentOptions, specs: readonly SubAgentSpec[]): void {
  const { subAgents = [], tools = [], recursionLimit, commandTimeoutMs, toolOutputLimit } = options;
  const problems = [...modelProblems(options.model)];
  for (const [index, { name, description }] of subAgents.entries()) {
    if (name.trim() === "") problems.push(`sub-agent ${index + 1} has no name`);
    else if (description.trim() === "")
      problems.push(`sub-agent "${name}" has no description, which tells when to use it`);
    if (subAgents.findIndex((other) => other.name === name) < index)
      problems.push(`two sub-agents are called "${name}"`);
  }
  problems.push(...familyProblems(specs));
  problems.push(...toolProblems(tools), ...toolListProblems(options, "the agent", known(tools)));
  for (const spec of subAgents) {
    const owner = `sub-agent "${spec.name}"`;
    if (spec.model !== undefined) problems.push(...modelProblems(spec.model).map((problem) => `${owner}: ${problem}`));
    if (spec.tools !== undefined) problems.push(...toolProblems(spec.tools).map((problem) => `${owner}: ${problem}`));
    problems.push(...toolListProblems(spec, owner, known(spec.tools ?? tools)));
  }
  for (const [name, value] of Object.entries({ recursionLimit, commandTimeoutMs, toolOutputLimit })) {
    if (value !== undefined && !(value > 0)) problems.push(`${name} is ${value}, and must be above 0`);
  }
  if (problems.length === 0) return;
  throw new AgentError("invalid-agent", `The agent can't be built: ${problems.join("; ")}. Correct its description.`);
}

function modelProblems(model: ModelConfig): string[] {
  const problems: string[] = [];
  if (!(["anthropic", "openai", "ollama"] as string[]).includes(model.provider)) {
    problems.push(`there is no model provider "${String(model.provider)}" (known: anthropic, openai, ollama)`);
  }
  if (model.model.trim() === "") problems.push("the model has no name");
  if ("apiKey" in model && model.apiKey.trim() === "") problems.push(`the ${model.provider} model has no API key`);
  return problems;
}

type Named = Pick<NonNullable<AgentOptions["tools"]>[number], "name">;

function toolProblems(tools: readonly Named[]): string[] {
  return tools.flatMap(({ name }, index) => {
    if (isOwnTool(name)) return [`a tool is called "${name}", as one that every agent has`];
    return tools.findIndex((other) => other.name === name) < index ? [`two tools are called "${name}"`] : [];
  });
}

function known(tools: readonly Named[]): string[] {
  return [...ownToolNames, ...tools.map(({ name }) => name)];
}
