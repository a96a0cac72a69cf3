import { createClient as createConnectClient, type Transport } from "@connectrpc/connect";
import { AgentCommandController, AgentQueryController, type Agent, AgentSchema } from "@stigmer/protos/agent/v1";
import {
  AgentInstanceCommandController,
  AgentInstanceQueryController,
  type AgentInstance,
  AgentInstanceSchema,
} from "@stigmer/protos/agentinstance/v1";
import { ApiResourceOwnerScope } from "@stigmer/protos/apiresource";
import {
  EnvironmentCommandController,
  EnvironmentQueryController,
  type Environment,
  EnvironmentSchema,
} from "@stigmer/protos/environment/v1";
import {
  type ExecutionContext,
  ExecutionContextCommandController,
  ExecutionContextQueryController,
  ExecutionContextSchema,
} from "@stigmer/protos/executioncontext/v1";
import {
  McpServerCommandController,
  McpServerQueryController,
  type McpServer,
  McpServerSchema,
} from "@stigmer/protos/mcpserver/v1";
import {
  SessionCommandController,
  SessionQueryController,
  type Session,
  SessionSchema,
} from "@stigmer/protos/session/v1";
import { SkillCommandController, SkillQueryController, type Skill, SkillSchema } from "@stigmer/protos/skill/v1";
import { call, type CallOptions } from "./call.ts";
import { listOf, numberedPage, type List, type PageInput } from "./pages.ts";
import { requireId } from "./require-id.ts";
import {
  toPage,
  verbsOf,
  type Defaults,
  type DeleteOptions,
  type ListInput,
  type ReferenceInput,
} from "./resource-client.ts";
import type { ResourceInput } from "./resource-input.ts";

/** Every method throws `ClientError` and refuses an empty id before it calls. */
export interface ResourceClient<T, Input> {
  /** Creates the resource, or updates the one of the same organisation, kind and slug. Is not repeated by itself. */
  apply(resource: Input, options?: CallOptions): Promise<T>;
  /** Throws `already-exists` when the slug is taken. Is repeated while the server is away, and happens once. */
  create(resource: Input, options?: CallOptions): Promise<T>;
  /** Replaces spec and metadata. Throws `not-found`, or `failed-precondition` when it was changed since it was read. */
  update(resource: Input, options?: CallOptions): Promise<T>;
  /** Answers what it was. */
  delete(id: string, options?: DeleteOptions): Promise<T>;
  get(id: string, options?: CallOptions): Promise<T>;
  /** Finds a resource by its slug alone, or by a whole reference. */
  getByReference(reference: string | ReferenceInput, options?: CallOptions): Promise<T>;
  list(input?: ListInput, options?: CallOptions): List<T>;
}

export type AgentInput = ResourceInput<typeof AgentSchema>;
export type AgentInstanceInput = ResourceInput<typeof AgentInstanceSchema>;
export type EnvironmentInput = ResourceInput<typeof EnvironmentSchema>;
export type ExecutionContextInput = ResourceInput<typeof ExecutionContextSchema>;
export type McpServerInput = ResourceInput<typeof McpServerSchema>;
export type SessionInput = ResourceInput<typeof SessionSchema>;

export type AgentClient = ResourceClient<Agent, AgentInput>;
export type EnvironmentClient = ResourceClient<Environment, EnvironmentInput>;
export type McpServerClient = ResourceClient<McpServer, McpServerInput>;

export interface AgentInstanceClient extends ResourceClient<AgentInstance, AgentInstanceInput> {
  listByAgent(agentId: string, input?: PageInput, options?: CallOptions): List<AgentInstance>;
}

export interface SessionClient extends Omit<ResourceClient<Session, SessionInput>, "getByReference" | "delete"> {
  /** Deletes the session with its runs. */
  delete(id: string, options?: CallOptions): Promise<Session>;
  listByAgent(agentId: string, input?: PageInput, options?: CallOptions): List<Session>;
}

/** Variables of one run. They can't be changed, and go when the run is over. */
export type ExecutionContextClient = Pick<
  ResourceClient<ExecutionContext, ExecutionContextInput>,
  "apply" | "create" | "delete" | "get" | "getByReference"
>;

export interface PushSkillInput {
  readonly name: string;
  /** A zip with SKILL.md at its root. */
  readonly artifact: Uint8Array;
  /** Default: the client's `org`. */
  readonly org?: string;
  /** Who owns the skill. Default: the organisation. */
  readonly scope?: "organization" | "platform";
  /** Names this version. */
  readonly tag?: string;
}

export interface SkillClient extends Pick<ResourceClient<Skill, never>, "get" | "getByReference" | "list"> {
  /** Stores a version of a skill. */
  push(input: PushSkillInput, options?: CallOptions): Promise<Skill>;
  /** The zip of a version, by the `artifactStorageKey` of the skill's status. */
  getArtifact(storageKey: string, options?: CallOptions): Promise<Uint8Array>;
  /** Deletes a skill with all its versions. */
  delete(id: string, options?: CallOptions): Promise<Skill>;
}

export function createAgentClient(transport: Transport, defaults: Defaults): AgentClient {
  const command = createConnectClient(AgentCommandController, transport);
  const query = createConnectClient(AgentQueryController, transport);
  const agent = verbsOf({ kind: "Agent", schema: AgentSchema, noun: "agent" }, defaults);
  return {
    apply: agent.write(command.apply),
    create: agent.create(command.create, query.get),
    update: agent.write(command.update),
    delete: agent.byId((value, { force, ...options }: DeleteOptions = {}) => command.delete({ value, force }, options)),
    get: agent.byId((value, options) => query.get({ value }, options)),
    getByReference: agent.byReference(query.getByReference),
    list: agent.list(query.list),
  };
}

export function createAgentInstanceClient(transport: Transport, defaults: Defaults): AgentInstanceClient {
  const command = createConnectClient(AgentInstanceCommandController, transport);
  const query = createConnectClient(AgentInstanceQueryController, transport);
  const instance = verbsOf({ kind: "AgentInstance", schema: AgentInstanceSchema, noun: "agent instance" }, defaults);
  return {
    apply: instance.write(command.apply),
    create: instance.create(command.create, query.get),
    update: instance.write(command.update),
    delete: instance.byId((value, { force, ...options }: DeleteOptions = {}) =>
      command.delete({ value, force }, options),
    ),
    get: instance.byId((value, options) => query.get({ value }, options)),
    getByReference: instance.byReference(query.getByReference),
    list: instance.list(query.list),
    listByAgent: (agentId, { pageSize = 0, pageToken } = {}, options) =>
      listOf(pageToken, (pageToken) =>
        call(`instances of agent ${agentId}`, async () => {
          requireId("agent_id", agentId);
          return numberedPage({ pageSize, pageToken }, async (pageInfo) => {
            const { items, totalCount } = await query.getByAgent({ agentId, pageInfo }, options);
            return { items, totalPages: Math.ceil(totalCount / pageInfo.size) };
          });
        }),
      ),
  };
}

export function createSessionClient(transport: Transport, defaults: Defaults): SessionClient {
  const command = createConnectClient(SessionCommandController, transport);
  const query = createConnectClient(SessionQueryController, transport);
  const session = verbsOf({ kind: "Session", schema: SessionSchema, noun: "session" }, defaults);
  return {
    apply: session.write(command.apply),
    create: session.create(command.create, query.get),
    update: session.write(command.update),
    delete: session.byId((value, options) => command.delete({ value }, options)),
    get: session.byId((value, options) => query.get({ value }, options)),
    list: session.list(query.list),
    listByAgent: (agentId, { pageSize = 0, pageToken } = {}, options) =>
      listOf(pageToken, (pageToken) =>
        call(`sessions of agent ${agentId}`, async () => {
          requireId("agent_id", agentId);
          return toPage(await query.listByAgent({ agentId, pageSize, pageToken }, options));
        }),
      ),
  };
}

export function createEnvironmentClient(transport: Transport, defaults: Defaults): EnvironmentClient {
  const command = createConnectClient(EnvironmentCommandController, transport);
  const query = createConnectClient(EnvironmentQueryController, transport);
  const environment = verbsOf({ kind: "Environment", schema: EnvironmentSchema, noun: "environment" }, defaults);
  return {
    apply: environment.write(command.apply),
    create: environment.create(command.create, query.get),
    update: environment.write(command.update),
    delete: environment.byId((resourceId, { force, ...options }: DeleteOptions = {}) =>
      command.delete({ resourceId, force }, options),
    ),
    get: environment.byId((value, options) => query.get({ value }, options)),
    getByReference: environment.byReference(query.getByReference),
    list: environment.list(query.list),
  };
}

export function createMcpServerClient(transport: Transport, defaults: Defaults): McpServerClient {
  const command = createConnectClient(McpServerCommandController, transport);
  const query = createConnectClient(McpServerQueryController, transport);
  const server = verbsOf({ kind: "McpServer", schema: McpServerSchema, noun: "MCP server" }, defaults);
  return {
    apply: server.write(command.apply),
    create: server.create(command.create, query.get),
    update: server.write(command.update),
    delete: server.byId((resourceId, { force, ...options }: DeleteOptions = {}) =>
      command.delete({ resourceId, force }, options),
    ),
    get: server.byId((value, options) => query.get({ value }, options)),
    getByReference: server.byReference(query.getByReference),
    list: server.list(query.list),
  };
}

export function createExecutionContextClient(transport: Transport, defaults: Defaults): ExecutionContextClient {
  const command = createConnectClient(ExecutionContextCommandController, transport);
  const query = createConnectClient(ExecutionContextQueryController, transport);
  const context = verbsOf(
    { kind: "ExecutionContext", schema: ExecutionContextSchema, noun: "execution context" },
    defaults,
  );
  return {
    apply: context.write(command.apply),
    create: context.create(command.create, query.get),
    delete: context.byId((resourceId, { force, ...options }: DeleteOptions = {}) =>
      command.delete({ resourceId, force }, options),
    ),
    get: context.byId((value, options) => query.get({ value }, options)),
    getByReference: context.byReference(query.getByReference),
  };
}

export function createSkillClient(transport: Transport, defaults: Defaults): SkillClient {
  const command = createConnectClient(SkillCommandController, transport);
  const query = createConnectClient(SkillQueryController, transport);
  const skill = verbsOf({ kind: "Skill", schema: SkillSchema, noun: "skill" }, defaults);
  return {
    push: ({ name, artifact, scope, org = scope === "platform" ? "" : defaults.org, tag = "" }, options) =>
      call(`skill "${name}"`, async () => {
        // Without an organisation it is the key's own, which the server knows.
        const owner = scope ?? (org === "" ? "api_resource_owner_scope_unspecified" : "organization");
        const request = { name: requireId("skill name", name), artifact, org, tag };
        return command.push({ ...request, scope: ApiResourceOwnerScope[owner] }, options);
      }),
    delete: skill.byId((value, options) => command.delete({ value }, options)),
    get: skill.byId((value, options) => query.get({ value }, options)),
    getByReference: skill.byReference(query.getByReference),
    list: skill.list(query.list),
    getArtifact: (storageKey, options) =>
      call(`skill artifact ${storageKey}`, async () => {
        const artifactStorageKey = requireId("artifact_storage_key", storageKey);
        return (await query.getArtifact({ artifactStorageKey }, options)).artifact;
      }),
  };
}
