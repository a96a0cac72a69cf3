import { type AgentMiddleware, createMiddleware } from "langchain";

/**
 * Keeps a middleware's part of the agent's state apart from its hooks. LangChain makes a schema anew, and parses the state by it, for each
 * call that a middleware with a state of its own is asked about; these are asked, and don't look at it.
 */
export function stateApart({ stateSchema, ...hooks }: AgentMiddleware): AgentMiddleware[] {
  return [createMiddleware({ name: `${hooks.name}State`, stateSchema }) as AgentMiddleware, hooks];
}
