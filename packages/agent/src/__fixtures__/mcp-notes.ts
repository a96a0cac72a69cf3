import { fileURLToPath } from "node:url";
import { tmpdir } from "node:os";
import type { StructuredTool } from "@langchain/core/tools";
import { testConnections } from "../mcp/__fixtures__/servers.ts";

export interface McpNotes extends AsyncDisposable {
  readonly tools: readonly StructuredTool[];
}

/** The tools of an MCP server that runs in a process of its own. */
export async function openMcpNotes(): Promise<McpNotes> {
  const script = fileURLToPath(new URL("mcp-notes-server.ts", import.meta.url));
  const args = ["--conditions=@stigmer/source", script];
  const connections = testConnections();
  const server = { type: "stdio", name: "notes", command: process.execPath, args } as const;
  const { tools } = await connections.open({ sessionId: "notes", directory: tmpdir(), servers: [server] });
  return { tools, [Symbol.asyncDispose]: () => connections.close() };
}
