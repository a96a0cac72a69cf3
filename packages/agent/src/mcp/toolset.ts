// Servers' tools as LangChain's, and which of them who gets.
import type { StructuredTool } from "@langchain/core/tools";
import { loadMcpTools } from "@langchain/mcp-adapters";
import type { CallToolResult, Tool } from "@modelcontextprotocol/sdk/types.js";
import { AgentError } from "../errors.ts";
import { CallFailure, type Connection } from "./connection.ts";
import type { McpServerConfig } from "./mcp-config.ts";
import type { McpOpenRequest, McpToolset } from "./mcp-connections.ts";
import { listed, selectTools, type ServerTools } from "./select-tools.ts";
import { plainResult, textOf } from "./results.ts";
import { ConnectFailure } from "./server-failure.ts";
import { mcpToolName } from "./tool-names.ts";

export interface OpenServer {
  readonly config: McpServerConfig;
  readonly connection: Connection;
}

type Mask = (text: string) => string;

/** Throws `AgentError` `mcp-server`, or the signal's reason. */
export async function openToolset(
  servers: readonly OpenServer[],
  { mask = (text) => text, signal }: McpOpenRequest,
): Promise<Omit<McpToolset, "release">> {
  const opened = await Promise.all(servers.map((server) => toolsOf(server, { mask, signal })));
  const byServer = new Map<string, ServerTools>(
    servers.map(({ config }, at) => [config.name, opened[at] ?? new Map()]),
  );
  const tools = opened.flatMap((each) => [...each.values()]);
  const twice = tools.find((tool, at) => tools.findIndex(({ name }) => name === tool.name) < at);
  if (twice !== undefined) {
    const fields = servers.map(({ config }) => fieldOf(config)).join(", ");
    throw new AgentError("mcp-server", `${fields}: two tools are called ${twice.name}. Rename one of the servers.`);
  }
  return { tools, toolsFor: (selection) => selectTools(byServer, selection) };
}

async function toolsOf(
  { config, connection }: OpenServer,
  { mask, signal }: { readonly mask: Mask; readonly signal: AbortSignal | undefined },
): Promise<ServerTools> {
  const offered = await connection.tools(signal).catch((error: unknown) => {
    signal?.throwIfAborted();
    throw cantBeHad(config, error, mask);
  });
  const enabled = enabledOf(offered, config);
  try {
    return await toStructuredTools({ config, connection, mask, tools: enabled });
  } catch (error) {
    const why = `${fieldOf(config)}: a tool of the MCP server ${config.name} can't be used: ${(error as Error).message}`;
    throw new AgentError("mcp-server", mask(why), { cause: error });
  }
}

/** The adapter asks an MCP client for its tools, and calls them: this is what it sees of the connection. */
async function toStructuredTools(server: OpenServer & { readonly mask: Mask; readonly tools: readonly Tool[] }) {
  const { config, connection, mask, tools } = server;
  const client = {
    listTools: async () => ({ tools: structuredClone(tools) as Tool[] }),
    async callTool(
      { name, arguments: args = {} }: { name: string; arguments?: Record<string, unknown> },
      _schema: unknown,
      options?: { signal?: AbortSignal },
    ): Promise<CallToolResult> {
      try {
        const result = plainResult(await connection.call(name, args, options?.signal), mask);
        if (result.isError === true) throw new CallFailure(textOf(result) || `${name} failed and does not say why.`);
        return result;
      } catch (error) {
        throw options?.signal?.aborted === true ? error : asToolException(error, mask);
      }
    },
  };
  const loaded = await loadMcpTools(config.name, client as unknown as Parameters<typeof loadMcpTools>[1], {
    prefixToolNameWithServerName: true,
    additionalToolNamePrefix: "",
    outputHandling: "content",
  });
  return new Map(
    loaded.map((tool, at) => {
      const { name } = tools[at] as Tool;
      tool.name = mcpToolName(config.name, name);
      return [name, tool as unknown as StructuredTool];
    }),
  );
}

/** By this name the adapter knows an error that says all there is to say. */
function asToolException(error: unknown, mask: Mask): Error {
  const told = new Error(mask(error instanceof Error ? error.message : String(error)));
  told.name = "ToolException";
  return told;
}

function enabledOf(offered: readonly Tool[], config: McpServerConfig): readonly Tool[] {
  const named = offered.filter(({ name }) => name !== "");
  const { enabledTools = [], enabledToolsField = `${fieldOf(config)}.enabled_tools` } = config;
  if (enabledTools.length === 0) return named;
  const names = named.map(({ name }) => name);
  const at = enabledTools.findIndex((name) => !names.includes(name));
  if (at >= 0) {
    const unknown = `the MCP server ${config.name} has no tool ${enabledTools[at]}`;
    throw new AgentError("mcp-server", `${enabledToolsField}[${at}]: ${unknown}. It has: ${listed(names)}.`);
  }
  return named.filter(({ name }) => enabledTools.includes(name));
}

function cantBeHad(config: McpServerConfig, error: unknown, mask: Mask): AgentError {
  const part = error instanceof ConnectFailure && error.part !== "" ? `.${error.part}` : "";
  const where = `${fieldOf(config)}.${config.type}${part}`;
  const reason = error instanceof Error ? error.message : String(error);
  const message = `${where}: the MCP server ${config.name} can't be used: ${reason.replace(/\.$/, "")}.`;
  // The cause may quote what the mask strikes out.
  return new AgentError("mcp-server", mask(message));
}

function fieldOf({ field, name }: McpServerConfig): string {
  return field ?? `mcp_servers[${name}]`;
}
