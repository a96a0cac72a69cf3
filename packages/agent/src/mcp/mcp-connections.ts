// What a runner holds of MCP servers, and what a run gets of them.
import type { StructuredTool } from "@langchain/core/tools";
import type { Sandbox } from "@stigmer/sandbox";
import type { McpServerConfig } from "./mcp-config.ts";

export interface McpConnectionsOptions {
  /**
   * Makes what starts a server's process in this directory, with a minimal environment: the `filesystem` sandbox with
   * `inheritEnv: "minimal"`. One for each process; disposed of with it, and all that it started.
   */
  readonly createProcessHost: (directory: string) => Promise<Pick<Sandbox, "spawn" | "dispose">>;
  /** What the `docker` program is to have of this machine's environment: PATH, HOME, DOCKER_HOST and the like. */
  readonly dockerEnv?: Readonly<Record<string, string>>;
  /** Milliseconds for a server to start and to say what tools it has. Default 30,000: it may have to fetch itself first. */
  readonly connectTimeoutMs?: number;
  /** Milliseconds for a tool to answer or to say that it is still at work. Default 300,000. */
  readonly callTimeoutMs?: number;
  /** Milliseconds until a connection that no run uses is closed. Default 300,000. */
  readonly idleTimeoutMs?: number;
  /** Milliseconds to wait before the third attempt to reach a server that is lost, doubled each time. Default 500. */
  readonly backoffMs?: number;
}

/** The connections of one runner to MCP servers. A session's runs share them. */
export interface McpConnections {
  /**
   * Connects to all of these servers and asks for their tools. Throws `AgentError` `mcp-server` that names server and field
   * when one of them can't be had, or does not have a tool that is enabled.
   */
  open(request: McpOpenRequest): Promise<McpToolset>;
  /** Ends what a session's runs had left open. */
  closeSession(sessionId: string): Promise<void>;
  /** Ends all of them. Nothing can be opened after it. */
  close(): Promise<void>;
}

export interface McpOpenRequest {
  readonly sessionId: string;
  /** Where programs are started, on this machine. */
  readonly directory: string;
  readonly servers: readonly McpServerConfig[];
  /** Strikes out what must not be shown: applied to results and errors. */
  readonly mask?: (text: string) => string;
  readonly signal?: AbortSignal;
}

/** The tools of the servers of one run. Their names are `<server>__<tool>`. */
export interface McpToolset {
  /** All that are enabled. A server that is lost is reached again by the next call; what goes wrong is told to the model. */
  readonly tools: readonly StructuredTool[];
  /** Those that a sub-agent has. Throws `AgentError` `invalid-agent` that names the field of an unknown server or tool. */
  toolsFor(subAgent: McpSelection): readonly StructuredTool[];
  /** Says that the run is over. The connections stay for a while, for the session's next run. Safe to call twice. */
  release(): void;
}

/** Which of an agent's servers and tools a sub-agent has. */
export interface McpSelection {
  /** Where it is described, as errors name it: `spec.sub_agents[0]`. */
  readonly field: string;
  /** Names of the agent's servers. */
  readonly servers: readonly string[];
  /** By server, the names of its tools; a server that is not there gives all that the agent has of it. */
  readonly tools?: Readonly<Record<string, readonly string[]>>;
}
