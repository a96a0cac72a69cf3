// The agents of one run: the root, and below it those that tasks are handed to, each a deep agent of its own.
import type { BaseLanguageModel } from "@langchain/core/language_models/base";
import { HumanMessage } from "@langchain/core/messages";
import type { Runnable } from "@langchain/core/runnables";
import type { BaseCheckpointSaver } from "@langchain/langgraph-checkpoint";
import type { DeepAgentsBackend } from "@stigmer/sandbox/deepagents";
import { createDeepAgent, GENERAL_PURPOSE_SUBAGENT } from "deepagents";
import type { AgentMiddleware } from "langchain";
import type { AgentOptions, SubAgentSpec } from "../agent.ts";
import type { AgentGraph } from "../agent-graph.ts";
import type { StackedAgent } from "../agent-stack.ts";
import type { PutAside } from "../limits/long-inputs.ts";
import { createModel } from "../models/create-model.ts";
import { composeSystemPrompt } from "../system-prompt.ts";
import { type SubAgentGraph, type TaskTarget, taskInput } from "./task-tool.ts";
import { type HasTool, hasTool } from "./tool-lists.ts";

export interface TreeParts {
  readonly options: AgentOptions;
  readonly backend: DeepAgentsBackend;
  /** The root's; the others' checkpoints lie below the root's own. */
  readonly checkpointer: BaseCheckpointSaver;
  readonly stackOf: (agent: StackedAgent) => AgentMiddleware[];
  readonly putAside: PutAside;
}

export interface AgentTree {
  readonly graph: AgentGraph;
  /** Those that tasks can be handed to, by name. */
  readonly targets: ReadonlyMap<string, TaskTarget>;
}

/** Every sub-agent of the tree: those of the description, and `general-purpose`, which is always there. */
export function allSubAgents({ subAgents = [], skillsSection }: AgentOptions): readonly SubAgentSpec[] {
  const { name, description, systemPrompt } = GENERAL_PURPOSE_SUBAGENT;
  if (subAgents.some((spec) => spec.name === name)) return subAgents;
  return [{ name, description, instructions: systemPrompt, skillsSection }, ...subAgents];
}

/**
 * Makes the root's graph. Each sub-agent's model is made at once, so that a bad one is noticed before the run begins; its graph
 * when the first task is handed to it: most runs use few of theirs.
 */
export async function createAgentTree(parts: TreeParts): Promise<AgentTree> {
  const { options } = parts;
  const specs = allSubAgents(options);
  const rootModel = await createModel(options.model);
  const models = new Map(
    await Promise.all(
      specs.map(async ({ name, model }) => [name, model === undefined ? rootModel : await createModel(model)] as const),
    ),
  );
  const rootHas = hasTool(options);

  const targets = new Map<string, TaskTarget>();
  const targetsOf = (names: readonly string[]): TaskTarget[] => names.flatMap((name) => targets.get(name) ?? []);
  for (const spec of specs) {
    const model = spec.model ?? options.model;
    const make = (checkpointer?: BaseCheckpointSaver): unknown =>
      graphOf(parts, {
        spec,
        languageModel: models.get(spec.name) ?? rootModel,
        agentName: spec.name,
        model,
        listens: false,
        has: hasOf(spec, rootHas),
        targets: targetsOf(spec.subAgents ?? []),
        checkpointer,
      });
    let within: unknown;
    let beside: unknown;
    targets.set(spec.name, {
      name: spec.name,
      description: spec.description,
      model,
      input: async (task) => taskInput(await parts.putAside(new HumanMessage(task))),
      graph: () => (within ??= make()) as SubAgentGraph,
      backgroundGraph: () => (beside ??= make(parts.checkpointer)) as AgentGraph,
    });
  }
  const graph = graphOf(parts, {
    spec: options,
    languageModel: rootModel,
    agentName: "main",
    model: options.model,
    listens: true,
    has: rootHas,
    targets: [...targets.values()],
    checkpointer: parts.checkpointer,
  });
  return { graph: graph as AgentGraph, targets };
}

/** Without a list of its own it has what the agent may have, and what was given to itself. */
function hasOf(spec: SubAgentSpec, rootHas: HasTool): HasTool {
  const own = new Set(spec.tools?.map(({ name }) => name));
  if ((spec.subAgents ?? []).length > 0) own.add("task");
  return hasTool(spec, (name) => own.has(name) || rootHas(name));
}

interface Member extends StackedAgent {
  readonly spec: Pick<SubAgentSpec, "instructions" | "skillsSection" | "tools">;
  readonly languageModel: BaseLanguageModel;
  readonly checkpointer?: BaseCheckpointSaver;
}

function graphOf({ options, backend, stackOf }: TreeParts, member: Member): unknown {
  const { spec, agentName, languageModel, has, checkpointer } = member;
  const tools = (spec.tools ?? options.tools ?? []).filter(({ name }) => has(name));
  const agent = createDeepAgent({
    name: agentName,
    model: languageModel,
    systemPrompt: composeSystemPrompt(spec.instructions, spec.skillsSection, options.context),
    tools: [...tools],
    middleware: stackOf(member),
    // Only so that deepagents doesn't make one: our middleware hands tasks over.
    subagents: [{ name: GENERAL_PURPOSE_SUBAGENT.name, description: "", runnable: {} as Runnable }],
    backend,
    checkpointer,
  });
  return agent.graph;
}
