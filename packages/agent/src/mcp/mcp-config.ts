// How an agent reaches MCP servers: plain data, every placeholder filled in.

/** An MCP server and which of its tools to use. */
export type McpServerConfig = McpStdioServerConfig | McpHttpServerConfig | McpDockerServerConfig;

interface McpServerCommon {
  /** What the agent calls it by, and what its tools' names begin with. Unique within an agent. */
  readonly name: string;
  /** Where it is described, as errors name it: `spec.mcp_servers[0]`. Default: `mcp_servers[<name>]`. */
  readonly field?: string;
  /** The names of the tools to give the agent, as the server knows them. Empty or unset: all. */
  readonly enabledTools?: readonly string[];
  /** Where `enabledTools` are said, as errors name it. Default: `<field>.enabled_tools`. */
  readonly enabledToolsField?: string;
}

/** A program that is started for the session, spoken to over its standard input and output. */
export interface McpStdioServerConfig extends McpServerCommon {
  readonly type: "stdio";
  readonly command: string;
  readonly args?: readonly string[];
  /** All that it sees besides a minimal environment (PATH, HOME, locale and the like). Secrets belong here, not in `args`. */
  readonly env?: Readonly<Record<string, string>>;
  /** Relative to the session's directory, or absolute. Default: the session's directory. */
  readonly cwd?: string;
}

/** A server that runs already, spoken to over streamable HTTP. */
export interface McpHttpServerConfig extends McpServerCommon {
  readonly type: "http";
  readonly url: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Added to the query of `url`. */
  readonly query?: Readonly<Record<string, string>>;
  /** Milliseconds to wait for an answer. Default: that of the connections. */
  readonly timeoutMs?: number;
}

/** A program in a container that is started for the session by the `docker` program, spoken to as one over stdio. */
export interface McpDockerServerConfig extends McpServerCommon {
  readonly type: "docker";
  readonly image: string;
  /** For the image's entry point. */
  readonly args?: readonly string[];
  /** The container's environment. It is in no process's arguments, but whoever may use the engine sees it in `docker inspect`. */
  readonly env?: Readonly<Record<string, string>>;
  readonly volumes?: readonly McpVolume[];
  /** Default: Docker's own. */
  readonly network?: string;
  readonly ports?: readonly McpPort[];
  /** Default: Docker chooses. */
  readonly containerName?: string;
}

export interface McpVolume {
  /** Absolute. Not made when it is missing. */
  readonly hostPath: string;
  readonly containerPath: string;
  readonly readOnly?: boolean;
}

export interface McpPort {
  readonly hostPort: number;
  readonly containerPort: number;
  readonly protocol?: "tcp" | "udp";
}
