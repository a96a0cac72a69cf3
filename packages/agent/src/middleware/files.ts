import { AsyncLocalStorage } from "node:async_hooks";
import type { StructuredTool } from "@langchain/core/tools";
import { type AnyBackendProtocol, createFilesystemMiddleware } from "deepagents";
import type { AgentMiddleware } from "langchain";
import { INPUT_LIMIT_TOKENS } from "../limits/long-inputs.ts";
import { oncePer } from "../once-per.ts";
import type { HasTool } from "../sub-agents/tool-lists.ts";
import { stateApart } from "./state-apart.ts";

export interface FileToolsOptions {
  readonly execute: StructuredTool;
  /** Bytes that one read of a file may give. */
  readonly outputLimit: number;
  /** Which of the tools the agent has. */
  readonly has: HasTool;
}

/** Of the agent whose call is under way: all agents have the same tools. */
const backends = new AsyncLocalStorage<AnyBackendProtocol>();

/** deepagents' own, for agents whose reads of a file may give so many bytes. */
const sharedTools = oncePer((outputLimit: number): AgentMiddleware => {
  const {
    wrapToolCall: _longResults,
    beforeAgent: _longInputs,
    ...theirs
  } = createFilesystemMiddleware({
    backend: () => {
      const backend = backends.getStore();
      if (backend === undefined) throw new Error("A file tool was called by no agent.");
      return backend;
    },
    tools: ["ls", "read_file", "write_file", "edit_file", "delete", "glob", "grep"],
    humanMessageTokenLimitBeforeEvict: INPUT_LIMIT_TOKENS,
    // By their count, four characters are a token.
    toolTokenLimitBeforeEvict: Math.ceil(outputLimit / 4),
  }) as AgentMiddleware;
  return theirs;
});

/**
 * deepagents' file tools with our `execute`. Under the name of deepagents' own middleware it takes that one's place:
 * passing a tool named `execute` beside it would be refused as a collision. Theirs would also put long results aside, outside of
 * the ledger; `longResults` does that for all tools. And it would look for long input in a step of the graph, with a checkpoint, before
 * each run; `longInputs` looks at what is said before it is given to the graph.
 */
export function fileTools(
  backend: AnyBackendProtocol,
  { execute, outputLimit, has }: FileToolsOptions,
): AgentMiddleware[] {
  const { wrapModelCall, ...theirs } = sharedTools(outputLimit);
  const tools = [...(theirs.tools ?? []), execute];
  return stateApart({
    ...theirs,
    tools: tools.filter((tool) => typeof tool.name === "string" && has(tool.name)),
    wrapModelCall: (request, handler) =>
      backends.run(backend, () => (wrapModelCall === undefined ? handler(request) : wrapModelCall(request, handler))),
    wrapToolCall: (request, handler) => backends.run(backend, () => handler(request)),
  });
}
