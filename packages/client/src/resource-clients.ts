import { type AuditClient, createAuditClient } from "./audit.ts";
import type { Transport } from "@connectrpc/connect";
import { createExecutionClient, type ExecutionClient } from "./executions.ts";
import { isOnThisMachine } from "./on-this-machine.ts";
import type { Defaults } from "./resource-client.ts";
import {
  createAgentClient,
  createAgentInstanceClient,
  createEnvironmentClient,
  createExecutionContextClient,
  createMcpServerClient,
  createSessionClient,
  createSkillClient,
  type AgentClient,
  type AgentInstanceClient,
  type EnvironmentClient,
  type ExecutionContextClient,
  type McpServerClient,
  type SessionClient,
  type SkillClient,
} from "./resources.ts";
import { createApiKeyClient, createOrganizationClient, type ApiKeyClient, type OrganizationClient } from "./tenancy.ts";

/** Everything a Stigmer server offers, typed. */
export interface ResourceClients {
  readonly agents: AgentClient;
  readonly agentInstances: AgentInstanceClient;
  readonly sessions: SessionClient;
  readonly executions: ExecutionClient;
  readonly skills: SkillClient;
  readonly environments: EnvironmentClient;
  readonly executionContexts: ExecutionContextClient;
  readonly mcpServers: McpServerClient;
  readonly organizations: OrganizationClient;
  readonly apiKeys: ApiKeyClient;
  readonly audit: AuditClient;
  /** For services that have no typed client here. */
  readonly transport: Transport;
}

export interface OrgOptions {
  /**
   * The organisation to work in: where names are looked up, what lists are limited to, and what new resources belong to,
   * where a call says nothing else. Default: the key's own; lists are not limited.
   */
  readonly org?: string;
}

/** An API key that somebody made, or a token of an identity provider: not the key file of a server on this machine. */
const ISSUED = /^stk_|^[\w-]+\.[\w-]+\.[\w-]*$/;

/**
 * The names that calls without an organisation belong to. Servers of before want `local` said on their own machine. A server in
 * the cloud may be reached there too, through a forwarded port: what opens it tells the two apart.
 */
export function defaultsOf({ org, apiKey = "" }: OrgOptions & { readonly apiKey?: string }, baseUrl: string): Defaults {
  const isLocal = isOnThisMachine(baseUrl) && !ISSUED.test(apiKey);
  return { org: org ?? (isLocal ? "local" : ""), ownOrg: org ?? "" };
}

export function createResourceClients(transport: Transport, defaults: Defaults): ResourceClients {
  return {
    agents: createAgentClient(transport, defaults),
    agentInstances: createAgentInstanceClient(transport, defaults),
    sessions: createSessionClient(transport, defaults),
    executions: createExecutionClient(transport, defaults),
    skills: createSkillClient(transport, defaults),
    environments: createEnvironmentClient(transport, defaults),
    executionContexts: createExecutionContextClient(transport, defaults),
    mcpServers: createMcpServerClient(transport, defaults),
    organizations: createOrganizationClient(transport, defaults),
    apiKeys: createApiKeyClient(transport, defaults),
    audit: createAuditClient(transport, defaults),
    transport,
  };
}
