import { fileURLToPath } from "node:url";
import type { StructuredTool } from "@langchain/core/tools";
import { MultiServerMCPClient } from "@langchain/mcp-adapters";

export interface McpNotes extends AsyncDisposable {
  readonly tools: StructuredTool[];
}

/** The tools of an MCP server that runs in a process of its own. */
export async function openMcpNotes(): Promise<McpNotes> {
  const script = fileURLToPath(new URL("mcp-notes-server.ts", import.meta.url));
  const args = ["--conditions=@stigmer/source", script];
  const client = new MultiServerMCPClient({
    mcpServers: { notes: { transport: "stdio", command: process.execPath, args } },
    prefixToolNameWithServerName: true,
    additionalToolNamePrefix: "",
  });
  return {
    tools: (await client.getTools()) as unknown as StructuredTool[],
    [Symbol.asyncDispose]: () => client.close(),
  };
}
