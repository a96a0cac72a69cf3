import type { McpToolset, ModelConfig, SubAgentSpec } from "@stigmer/agent";
import type { SubAgent } from "@stigmer/protos/agent/v1";
import { mcpSelectionOf } from "./mcp-servers.ts";
import { named } from "./run-error.ts";

/** What has been fetched or started for sub-agents, or can be. */
export interface SubAgentParts {
  /** The model of this name. Throws `RunError` when there is none. */
  readonly resolveModel: (modelName: string) => Promise<ModelConfig>;
  /** What the prompt of the sub-agent of this name says about its skills. */
  readonly skillsSectionOf: (subAgentName: string) => string | undefined;
  /** The tools of the agent's MCP servers. */
  readonly mcp: Pick<McpToolset, "toolsFor">;
}

/** The manifest's sub-agents as the agent takes them. Throws `RunError` that names the field. */
export async function describeSubAgents(
  subAgents: readonly SubAgent[],
  { resolveModel, skillsSectionOf, mcp }: SubAgentParts,
): Promise<SubAgentSpec[]> {
  return Promise.all(
    subAgents.map(async (subAgent, at) => ({
      name: subAgent.name,
      description: subAgent.description,
      instructions: subAgent.instructions,
      skillsSection: skillsSectionOf(subAgent.name),
      model:
        subAgent.modelName === ""
          ? undefined
          : await named(`spec.sub_agents[${at}].model_name`, () => resolveModel(subAgent.modelName)),
      tools: mcp.toolsFor(mcpSelectionOf(subAgent, at)),
      allowedTools: subAgent.tools,
      disallowedTools: subAgent.disallowedTools,
      subAgents: subAgent.subAgents,
    })),
  );
}
