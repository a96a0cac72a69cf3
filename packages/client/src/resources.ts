import { createClient as createConnectClient, type Transport } from "@connectrpc/connect";
import { AgentCommandController, AgentQueryController, type Agent } from "@stigmer/protos/agent/v1";
import {
  AgentInstanceCommandController,
  AgentInstanceQueryController,
  type AgentInstance,
} from "@stigmer/protos/agentinstance/v1";
import { ApiResourceOwnerScope } from "@stigmer/protos/apiresource";
import { ApiResourceKind } from "@stigmer/protos/apiresourcekind";
import {
  EnvironmentCommandController,
  EnvironmentQueryController,
  type Environment,
} from "@stigmer/protos/environment/v1";
import { McpServerCommandController, McpServerQueryController, type McpServer } from "@stigmer/protos/mcpserver/v1";
import { SessionCommandController, SessionQueryController, type Session } from "@stigmer/protos/session/v1";
import { SkillCommandController, SkillQueryController, type Skill } from "@stigmer/protos/skill/v1";
import { requireId } from "./require-id.ts";
import {
  call,
  describe,
  toListRequest,
  toReference,
  type ListInput,
  type Page,
  type ReferenceInput,
} from "./resource-client.ts";

/** Every method throws `ClientError` and refuses an empty id before it calls. */
export interface ResourceClient<T> {
  /** Creates the resource, or updates the one of the same organisation, kind and slug. */
  apply(resource: T): Promise<T>;
  create(resource: T): Promise<T>;
  update(resource: T): Promise<T>;
  delete(id: string): Promise<T>;
  get(id: string): Promise<T>;
  getByReference(reference: ReferenceInput): Promise<T>;
  list(input?: ListInput): Promise<Page<T>>;
}

export type AgentClient = ResourceClient<Agent>;
export type EnvironmentClient = ResourceClient<Environment>;
export type McpServerClient = ResourceClient<McpServer>;

export interface AgentInstanceClient extends ResourceClient<AgentInstance> {
  listByAgent(agentId: string): Promise<readonly AgentInstance[]>;
}

export interface SessionClient extends Omit<ResourceClient<Session>, "getByReference" | "list"> {
  list(input?: Pick<ListInput, "pageSize" | "pageToken" | "tags">): Promise<Page<Session>>;
  listByAgent(agentId: string, input?: Pick<ListInput, "pageSize" | "pageToken">): Promise<Page<Session>>;
}

export interface SkillClient extends Pick<ResourceClient<Skill>, "delete" | "get" | "getByReference" | "list"> {
  /** Stores a version of a skill from its zip, which has SKILL.md at its root. */
  push(input: { name: string; artifact: Uint8Array; org?: string; tag?: string }): Promise<Skill>;
  getArtifact(storageKey: string): Promise<Uint8Array>;
}

export function createAgentClient(transport: Transport): AgentClient {
  const command = createConnectClient(AgentCommandController, transport);
  const query = createConnectClient(AgentQueryController, transport);
  return {
    apply: (agent) => call(describe("agent", agent), () => command.apply(agent)),
    create: (agent) => call(describe("agent", agent), () => command.create(agent)),
    update: (agent) => call(describe("agent", agent), () => command.update(agent)),
    delete: (id) => call(`agent ${id}`, () => command.delete({ value: requireId("agent_id", id) })),
    get: (id) => call(`agent ${id}`, () => query.get({ value: requireId("agent_id", id) })),
    getByReference: (reference) =>
      call(`agent "${reference.slug}"`, () =>
        query.getByReference(toReference("agent", ApiResourceKind.agent, reference)),
      ),
    list: (input) => call("agents", () => query.list(toListRequest(input))),
  };
}

export function createAgentInstanceClient(transport: Transport): AgentInstanceClient {
  const command = createConnectClient(AgentInstanceCommandController, transport);
  const query = createConnectClient(AgentInstanceQueryController, transport);
  return {
    apply: (instance) => call(describe("agent instance", instance), () => command.apply(instance)),
    create: (instance) => call(describe("agent instance", instance), () => command.create(instance)),
    update: (instance) => call(describe("agent instance", instance), () => command.update(instance)),
    delete: (id) => call(`agent instance ${id}`, () => command.delete({ value: requireId("agent_instance_id", id) })),
    get: (id) => call(`agent instance ${id}`, () => query.get({ value: requireId("agent_instance_id", id) })),
    getByReference: (reference) =>
      call(`agent instance "${reference.slug}"`, () =>
        query.getByReference(toReference("agent instance", ApiResourceKind.agent_instance, reference)),
      ),
    list: (input) => call("agent instances", () => query.list(toListRequest(input))),
    listByAgent: (agentId) =>
      call(
        `instances of agent ${agentId}`,
        async () => (await query.getByAgent({ agentId: requireId("agent_id", agentId) })).items,
      ),
  };
}

export function createSessionClient(transport: Transport): SessionClient {
  const command = createConnectClient(SessionCommandController, transport);
  const query = createConnectClient(SessionQueryController, transport);
  return {
    apply: (session) => call(describe("session", session), () => command.apply(session)),
    create: (session) => call(describe("session", session), () => command.create(session)),
    update: (session) => call(describe("session", session), () => command.update(session)),
    delete: (id) => call(`session ${id}`, () => command.delete({ value: requireId("session_id", id) })),
    get: (id) => call(`session ${id}`, () => query.get({ value: requireId("session_id", id) })),
    list: ({ pageSize = 0, pageToken = "", tags = [] } = {}) =>
      call("sessions", async () => toPage(await query.list({ pageSize, pageToken, tags: [...tags] }))),
    listByAgent: (agentId, { pageSize = 0, pageToken = "" } = {}) =>
      call(`sessions of agent ${agentId}`, async () =>
        toPage(await query.listByAgent({ agentId: requireId("agent_id", agentId), pageSize, pageToken })),
      ),
  };
}

export function createEnvironmentClient(transport: Transport): EnvironmentClient {
  const command = createConnectClient(EnvironmentCommandController, transport);
  const query = createConnectClient(EnvironmentQueryController, transport);
  return {
    apply: (environment) => call(describe("environment", environment), () => command.apply(environment)),
    create: (environment) => call(describe("environment", environment), () => command.create(environment)),
    update: (environment) => call(describe("environment", environment), () => command.update(environment)),
    delete: (id) => call(`environment ${id}`, () => command.delete({ resourceId: requireId("environment_id", id) })),
    get: (id) => call(`environment ${id}`, () => query.get({ value: requireId("environment_id", id) })),
    getByReference: (reference) =>
      call(`environment "${reference.slug}"`, () =>
        query.getByReference(toReference("environment", ApiResourceKind.environment, reference)),
      ),
    list: (input) => call("environments", () => query.list(toListRequest(input))),
  };
}

export function createMcpServerClient(transport: Transport): McpServerClient {
  const command = createConnectClient(McpServerCommandController, transport);
  const query = createConnectClient(McpServerQueryController, transport);
  return {
    apply: (server) => call(describe("MCP server", server), () => command.apply(server)),
    create: (server) => call(describe("MCP server", server), () => command.create(server)),
    update: (server) => call(describe("MCP server", server), () => command.update(server)),
    delete: (id) => call(`MCP server ${id}`, () => command.delete({ resourceId: requireId("mcp_server_id", id) })),
    get: (id) => call(`MCP server ${id}`, () => query.get({ value: requireId("mcp_server_id", id) })),
    getByReference: (reference) =>
      call(`MCP server "${reference.slug}"`, () =>
        query.getByReference(toReference("MCP server", ApiResourceKind.mcp_server, reference)),
      ),
    list: (input) => call("MCP servers", () => query.list(toListRequest(input))),
  };
}

export function createSkillClient(transport: Transport): SkillClient {
  const command = createConnectClient(SkillCommandController, transport);
  const query = createConnectClient(SkillQueryController, transport);
  return {
    push: ({ name, artifact, org = "local", tag = "" }) =>
      call(`skill "${name}"`, () =>
        command.push({
          name: requireId("skill name", name),
          artifact,
          org,
          tag,
          scope: ApiResourceOwnerScope.organization,
        }),
      ),
    delete: (id) => call(`skill ${id}`, () => command.delete({ value: requireId("skill_id", id) })),
    get: (id) => call(`skill ${id}`, () => query.get({ value: requireId("skill_id", id) })),
    getByReference: (reference) =>
      call(`skill "${reference.slug}"`, () =>
        query.getByReference(toReference("skill", ApiResourceKind.skill, reference)),
      ),
    list: (input) => call("skills", () => query.list(toListRequest(input))),
    getArtifact: (storageKey) =>
      call(
        `skill artifact ${storageKey}`,
        async () =>
          (await query.getArtifact({ artifactStorageKey: requireId("artifact_storage_key", storageKey) })).artifact,
      ),
  };
}

function toPage<T>({ entries, nextPageToken }: { entries: T[]; nextPageToken: string }): Page<T> {
  return { items: entries, nextPageToken };
}
