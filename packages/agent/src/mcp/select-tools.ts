import type { StructuredTool } from "@langchain/core/tools";
import { AgentError } from "../errors.ts";
import type { McpSelection } from "./mcp-connections.ts";

/** By the name that the server knows the tool by. */
export type ServerTools = ReadonlyMap<string, StructuredTool>;

/** What a sub-agent has of its agent's servers. Throws `AgentError` `invalid-agent` that names the field. */
export function selectTools(
  byServer: ReadonlyMap<string, ServerTools>,
  selection: McpSelection,
): readonly StructuredTool[] {
  const { field, servers, tools: chosen = {} } = selection;
  for (const [at, name] of servers.entries()) {
    if (byServer.has(name)) continue;
    throw wrong(
      `${field}.mcp_servers[${at}]`,
      `the agent has no MCP server ${name}. It has: ${listed(byServer.keys())}`,
    );
  }
  for (const name of Object.keys(chosen)) {
    if (servers.includes(name)) continue;
    throw wrong(`${field}.mcp_tool_selections[${name}]`, `${name} is not among its mcp_servers: ${listed(servers)}`);
  }
  return [...new Set(servers)].flatMap((server) => {
    const tools: ServerTools = byServer.get(server) ?? new Map();
    const wanted = chosen[server] ?? [];
    const at = wanted.findIndex((name) => !tools.has(name));
    if (at >= 0) {
      const where = `${field}.mcp_tool_selections[${server}].enabled_tools[${at}]`;
      throw wrong(
        where,
        `the agent has no tool ${wanted[at]} of the MCP server ${server}. It has: ${listed(tools.keys())}`,
      );
    }
    return [...tools].flatMap(([name, tool]) => (wanted.length === 0 || wanted.includes(name) ? [tool] : []));
  });
}

const wrong = (field: string, problem: string): AgentError => new AgentError("invalid-agent", `${field}: ${problem}.`);

export function listed(names: Iterable<string>): string {
  return [...names].join(", ") || "none";
}
