import type { Transport } from "@connectrpc/connect";
import { createExecutionClient, type ExecutionClient } from "./executions.ts";
import {
  createAgentClient,
  createAgentInstanceClient,
  createEnvironmentClient,
  createSessionClient,
  createSkillClient,
  type AgentClient,
  type AgentInstanceClient,
  type EnvironmentClient,
  type SessionClient,
  type SkillClient,
} from "./resources.ts";
import { openTransport, type TransportOptions } from "./transport.ts";

/** Everything a Stigmer server offers, typed, over one connection. */
export interface StigmerClient extends Disposable {
  readonly agents: AgentClient;
  readonly agentInstances: AgentInstanceClient;
  readonly sessions: SessionClient;
  readonly executions: ExecutionClient;
  readonly skills: SkillClient;
  readonly environments: EnvironmentClient;
  /** For services that have no typed client here, and for tests. */
  readonly transport: Transport;
  /** Ends the connection; calls in flight fail with `cancelled` or `unavailable`. */
  close(): void;
}

export type ClientOptions = TransportOptions;

/** Opens no connection before the first call. */
export function createClient(options: ClientOptions): StigmerClient {
  const { transport, close } = openTransport(options);
  return { ...createClients(transport), close, [Symbol.dispose]: close };
}

/** The typed clients over a transport that the caller owns. */
export function createClients(transport: Transport): Omit<StigmerClient, "close" | typeof Symbol.dispose> {
  return {
    agents: createAgentClient(transport),
    agentInstances: createAgentInstanceClient(transport),
    sessions: createSessionClient(transport),
    executions: createExecutionClient(transport),
    skills: createSkillClient(transport),
    environments: createEnvironmentClient(transport),
    transport,
  };
}
