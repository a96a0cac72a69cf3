import type { StructuredTool } from "@langchain/core/tools";
import { type AnyBackendProtocol, createFilesystemMiddleware } from "deepagents";
import type { AgentMiddleware } from "langchain";

/**
 * deepagents' file tools with our `execute`. Under the name of deepagents' own middleware it takes that one's place:
 * passing a tool named `execute` beside it would be refused as a collision.
 */
export function fileTools(backend: AnyBackendProtocol, execute: StructuredTool): AgentMiddleware {
  const theirs = createFilesystemMiddleware({
    backend,
    tools: ["ls", "read_file", "write_file", "edit_file", "delete", "glob", "grep"],
  }) as AgentMiddleware;
  return { ...theirs, tools: [...(theirs.tools ?? []), execute] };
}
