import { createHash } from "node:crypto";
import { AgentError } from "../errors.ts";
import type { Connection, ConnectionOptions } from "./connection.ts";
import type { McpServerConfig } from "./mcp-config.ts";
import type { McpConnections, McpConnectionsOptions, McpOpenRequest, McpToolset } from "./mcp-connections.ts";
import { selectTools } from "./select-tools.ts";

/** A connection that runs of one session share. */
interface Shared {
  readonly sessionId: string;
  readonly name: string;
  readonly connection: Promise<Connection>;
  /** The runs that use it. */
  holders: number;
  idle: NodeJS.Timeout | undefined;
}

/** What one run has of a connection. */
interface Held {
  readonly config: McpServerConfig;
  readonly key: string;
  readonly shared: Shared;
}

/**
 * The MCP servers of a runner's sessions. A session's runs share a connection as long as its description and its variables
 * are the same. The MCP SDK is loaded with the first one.
 */
export function createMcpConnections(options: McpConnectionsOptions): McpConnections {
  const settings = {
    dockerEnv: {},
    connectTimeoutMs: 30_000,
    callTimeoutMs: 300_000,
    idleTimeoutMs: 300_000,
    backoffMs: 500,
    ...options,
  };
  const open = new Map<string, Shared>();
  const ends = new Set<Promise<void>>();
  let closed = false;

  const end = (key: string, shared: Shared): void => {
    if (open.get(key) === shared) open.delete(key);
    clearTimeout(shared.idle);
    const ending = async (): Promise<void> => (await shared.connection).close();
    const done: Promise<void> = ending()
      .catch(() => {})
      .finally(() => ends.delete(done));
    ends.add(done);
  };

  const hold = (config: McpServerConfig, { sessionId, directory }: McpOpenRequest): Held => {
    const key = keyOf(config, sessionId, directory);
    // What the session's earlier runs meant by the name, with other variables: nobody comes back to it.
    for (const [otherKey, other] of open) {
      const isOld = other.sessionId === sessionId && other.name === config.name && otherKey !== key;
      if (isOld && other.holders === 0) end(otherKey, other);
    }
    const shared = open.get(key) ?? {
      sessionId,
      name: config.name,
      connection: makeConnection({ ...settings, config, directory }),
      holders: 0,
      idle: undefined,
    };
    open.set(key, shared);
    clearTimeout(shared.idle);
    shared.holders += 1;
    return { config, key, shared };
  };

  const letGo = (key: string, shared: Shared): void => {
    shared.holders -= 1;
    if (shared.holders > 0 || open.get(key) !== shared) return;
    shared.idle = setTimeout(() => end(key, shared), settings.idleTimeoutMs);
    shared.idle.unref();
  };

  const endAll = async (isMeant: (shared: Shared) => boolean): Promise<void> => {
    for (const [key, shared] of open) if (isMeant(shared)) end(key, shared);
    await Promise.all(ends);
  };

  return {
    async open(request): Promise<McpToolset> {
      if (closed) throw new AgentError("mcp-server", "The connections to MCP servers are closed: the runner ends.");
      checkNames(request.servers);
      // Most agents have none: nothing is loaded for them.
      if (request.servers.length === 0) {
        return { tools: [], toolsFor: (selection) => selectTools(new Map(), selection), release: () => {} };
      }
      const held = request.servers.map((config) => hold(config, request));
      let released = false;
      const release = (): void => {
        if (released) return;
        released = true;
        for (const { key, shared } of held) letGo(key, shared);
      };
      try {
        const { openToolset } = await import("./toolset.ts");
        const servers = await Promise.all(
          held.map(async ({ config, shared }) => ({ config, connection: await shared.connection })),
        );
        return { ...(await openToolset(servers, request)), release };
      } catch (error) {
        release();
        // Whoever comes next begins anew.
        for (const { key, shared } of held) if (shared.holders === 0) end(key, shared);
        throw error;
      }
    },
    closeSession: (sessionId) => endAll((shared) => shared.sessionId === sessionId),
    async close() {
      closed = true;
      await endAll(() => true);
    },
  };
}

async function makeConnection(options: ConnectionOptions): Promise<Connection> {
  const { createConnection } = await import("./connection.ts");
  return createConnection(options);
}

function checkNames(servers: readonly McpServerConfig[]): void {
  for (const [at, { name, field = `mcp_servers[${name}]` }] of servers.entries()) {
    if (name.trim() === "") throw new AgentError("mcp-server", `${field}.name: an MCP server needs a name.`);
    if (servers.findIndex((other) => other.name === name) < at) {
      throw new AgentError("mcp-server", `${field}.name: there are two MCP servers of the name ${name}. Rename one.`);
    }
  }
}

/** What makes a connection another one. Its variables are in it, so only a digest is kept. */
function keyOf(config: McpServerConfig, sessionId: string, directory: string): string {
  const { field: _field, enabledTools: _tools, enabledToolsField: _toolsField, ...meant } = config;
  const sorted = JSON.stringify([sessionId, directory, meant], (_, value: unknown) =>
    typeof value === "object" && value !== null && !Array.isArray(value)
      ? Object.fromEntries(Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1)))
      : value,
  );
  return createHash("sha256").update(sorted).digest("hex");
}
