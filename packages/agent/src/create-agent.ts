import type { Agent, AgentOptions } from "./agent.ts";

/**
 * Makes an agent from its description. LangChain, deepagents and the model's provider are loaded here, not by
 * importing this package. Throws `AgentError` `invalid-agent` when the description can't work.
 */
export async function createAgent(options: AgentOptions): Promise<Agent> {
  const { buildAgent } = await import("./build-agent.ts");
  return buildAgent(options);
}
