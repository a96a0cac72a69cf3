import { isLangChainTool } from "@langchain/core/tools";
import { convertToOpenAITool } from "@langchain/core/utils/function_calling";
import type { AgentMiddleware } from "langchain";

type ModelRequest = Parameters<NonNullable<AgentMiddleware["wrapModelCall"]>>[0];
type Tool = ModelRequest["tools"][number];

const weights = new WeakMap<Tool, Tool>();

/**
 * What stands for a tool where no more than the length of its JSON is counted (`countTokensApproximately`), and is made once for
 * each tool. That count makes the JSON of every tool anew, for each model call.
 */
export function weightOf(tool: Tool): Tool {
  const known = weights.get(tool);
  if (known) return known;
  const { length } = JSON.stringify(isLangChainTool(tool) ? convertToOpenAITool(tool) : tool);
  const text = "x".repeat(length - '""'.length);
  const weight: Tool = { toJSON: () => text };
  weights.set(tool, weight);
  return weight;
}
