// An MCP server over stdio with one tool of each class. Says by files what it did, so that another process can count.
import { appendFileSync, readFileSync } from "node:fs";
import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js";
import { StdioServerTransport } from "@modelcontextprotocol/sdk/server/stdio.js";
import { z } from "zod";

const server = new McpServer({ name: "notes", version: "1.0.0" });

server.registerTool(
  "append",
  { description: "Appends a line to a file.", inputSchema: { file: z.string(), line: z.string() } },
  ({ file, line }) => {
    appendFileSync(file, `${line}\n`);
    return { content: [{ type: "text", text: `appended ${line}` }] };
  },
);

server.registerTool(
  "count",
  {
    description: "Counts the lines of a file.",
    inputSchema: { file: z.string(), log: z.string() },
    annotations: { readOnlyHint: true },
  },
  ({ file, log }) => {
    // Not what a reading tool should do, and the only way to see how often it was asked.
    appendFileSync(log, "count\n");
    const lines = readFileSync(file, "utf8").trim().split("\n").length;
    return { content: [{ type: "text", text: `${lines} lines` }] };
  },
);

await server.connect(new StdioServerTransport());
// Gone with the client, also one that was killed.
process.stdin.once("end", () => process.exit(0));
