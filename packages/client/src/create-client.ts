import type { Transport } from "@connectrpc/connect";
import { createExecutionClient, type ExecutionClient } from "./executions.ts";
import {
  createAgentClient,
  createAgentInstanceClient,
  createEnvironmentClient,
  createMcpServerClient,
  createSessionClient,
  createSkillClient,
  type AgentClient,
  type AgentInstanceClient,
  type EnvironmentClient,
  type McpServerClient,
  type SessionClient,
  type SkillClient,
} from "./resources.ts";
import { createRunnerClient, type RunnerClient } from "./runner.ts";
import { withFence, type Fence } from "./with-fence.ts";
import { openTransport, type TransportOptions } from "./transport.ts";

/** Everything a Stigmer server offers, typed. */
export interface ResourceClients {
  readonly agents: AgentClient;
  readonly agentInstances: AgentInstanceClient;
  readonly sessions: SessionClient;
  readonly executions: ExecutionClient;
  readonly skills: SkillClient;
  readonly environments: EnvironmentClient;
  readonly mcpServers: McpServerClient;
  /** For services that have no typed client here. */
  readonly transport: Transport;
}

/** The clients over one connection. */
export interface StigmerClient extends ResourceClients, Disposable {
  /** What runners say to the server, besides taking work, which is the engine's. */
  readonly runner: RunnerClient;
  /** The same, for a runner that holds the fence of an execution: its calls see secrets in clear. */
  underFence(fence: Fence): ResourceClients;
  /** Ends the connection; calls in flight fail with `cancelled` or `unavailable`. */
  close(): void;
}

export type ClientOptions = TransportOptions;

/** Opens no connection before the first call. */
export function createClient(options: ClientOptions): StigmerClient {
  const { transport, close } = openTransport(options);
  return {
    ...createClients(transport),
    runner: createRunnerClient(transport),
    underFence: (fence) => createClients(withFence(transport, fence)),
    close,
    [Symbol.dispose]: close,
  };
}

function createClients(transport: Transport): ResourceClients {
  return {
    agents: createAgentClient(transport),
    agentInstances: createAgentInstanceClient(transport),
    sessions: createSessionClient(transport),
    executions: createExecutionClient(transport),
    skills: createSkillClient(transport),
    environments: createEnvironmentClient(transport),
    mcpServers: createMcpServerClient(transport),
    transport,
  };
}
