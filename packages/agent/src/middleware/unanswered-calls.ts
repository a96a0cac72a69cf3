import { createPatchToolCallsMiddleware } from "deepagents";
import type { AgentMiddleware } from "langchain";

/**
 * Calls that an earlier run left without a result are answered in what the model is shown: providers refuse them otherwise. In place of
 * deepagents' own middleware of the name, which also rewrites the thread, and has a step of the graph with a checkpoint for it
 * before each run.
 */
export function unansweredCalls(): AgentMiddleware {
  const { beforeAgent: _, ...theirs } = createPatchToolCallsMiddleware() as AgentMiddleware;
  return theirs;
}
