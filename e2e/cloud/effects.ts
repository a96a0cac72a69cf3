import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js";
import { StreamableHTTPServerTransport } from "@modelcontextprotocol/sdk/server/streamableHttp.js";
import { z } from "zod";

/** The world outside, in which agents do what can't be undone: an MCP server that says nothing of its tool, so it is run once. */
export interface Effects extends AsyncDisposable {
  readonly url: string;
  /** How often each effect happened, by its name. */
  readonly counts: ReadonlyMap<string, number>;
}

export async function startEffects(): Promise<Effects> {
  const counts = new Map<string, number>();
  const openServer = (): McpServer => {
    const server = new McpServer({ name: "effects", version: "1.0.0" });
    server.registerTool("book", { inputSchema: { entry: z.string() } }, ({ entry }) => {
      counts.set(entry, (counts.get(entry) ?? 0) + 1);
      return { content: [{ type: "text", text: `booked ${entry}` }] };
    });
    return server;
  };
  // Without sessions: it is no part of what dies, and knows nothing of who calls.
  const server = createServer((request, response) => {
    void (async () => {
      const transport = new StreamableHTTPServerTransport({ sessionIdGenerator: undefined });
      const mcp = openServer();
      response.once("close", () => void mcp.close());
      await mcp.connect(transport as Parameters<typeof mcp.connect>[0]);
      await transport.handleRequest(request, response);
    })().catch(() => response.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/mcp`,
    counts,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}
