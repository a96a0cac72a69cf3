import { type Closing, createClosing } from "../../executions/closing.ts";
import { randomBytes } from "node:crypto";
import { type DescService, toBinary } from "@bufbuild/protobuf";
import {
  type Client,
  type ConnectRouter,
  createClient,
  createRouterTransport,
  type HandlerContext,
  type Interceptor,
  type Transport,
} from "@connectrpc/connect";
import type { Standing } from "@stigmer/engine";
import type { QueueStore } from "@stigmer/engine/embedded";
import { AgentCommandController, AgentQueryController } from "@stigmer/protos/agent/v1";
import { AgentExecutionCommandController, AgentExecutionQueryController } from "@stigmer/protos/agentexecution/v1";
import { AgentInstanceCommandController, AgentInstanceQueryController } from "@stigmer/protos/agentinstance/v1";
import { EnvironmentCommandController, EnvironmentQueryController } from "@stigmer/protos/environment/v1";
import { ExecutionContextCommandController, ExecutionContextQueryController } from "@stigmer/protos/executioncontext/v1";
import { McpServerCommandController, McpServerQueryController } from "@stigmer/protos/mcpserver/v1";
import { ApiKeyCommandController, ApiKeyQueryController } from "@stigmer/protos/apikey/v1";
import { OrganizationCommandController, OrganizationQueryController } from "@stigmer/protos/organization/v1";
import { InboxItemSchema, RunnerController } from "@stigmer/protos/runner/v1";
import { SessionCommandController, SessionQueryController } from "@stigmer/protos/session/v1";
import { SkillCommandController, SkillQueryController } from "@stigmer/protos/skill/v1";
import { createRunStatuses, type RunStatuses, type RunStatusesOptions } from "../../executions/run-statuses.ts";
import { settlePhases } from "../../executions/settle-phases.ts";
import { announceRuns } from "../../fanout/announce-runs.ts";
import { authorize } from "../../interceptors/authorize.ts";
import { authenticated, principalOf } from "../../interceptors/principal.ts";
import type { PrincipalRole } from "../../interceptors/role.ts";
import { validateRequests } from "../../interceptors/validate.ts";
import { silentLogger } from "../../logger.ts";
import { createSecrets } from "../../secrets/create-secrets.ts";
import type { Store } from "../../store/store.ts";
import { API_SERVICES } from "../api-services.ts";
import { createServices } from "../create-services.ts";
import { createRunnerService } from "../runner.ts";
import { createTestStore, type TestStore } from "./test-store.ts";

/** Command and query services of a kind as one client. */
type Both<C extends DescService, Q extends DescService> = Client<C> & Client<Q>;

export interface TestServer {
  /** What the store keeps, seen from outside. */
  readonly place: Pick<TestStore, "kept" | "countRows">;
  readonly store: Store;
  readonly runs: RunStatuses;
  readonly transport: Transport;
  /** The queue as an engine has it. */
  readonly queue: QueueStore;
  /** What the engine was asked, as `start aex-…` and `cancel aex-… reason`. Of pauses and messages it does what the queue does. */
  readonly asked: string[];
  readonly agents: Both<typeof AgentCommandController, typeof AgentQueryController>;
  readonly instances: Both<typeof AgentInstanceCommandController, typeof AgentInstanceQueryController>;
  readonly sessions: Both<typeof SessionCommandController, typeof SessionQueryController>;
  readonly environments: Both<typeof EnvironmentCommandController, typeof EnvironmentQueryController>;
  readonly contexts: Both<typeof ExecutionContextCommandController, typeof ExecutionContextQueryController>;
  readonly mcpServers: Both<typeof McpServerCommandController, typeof McpServerQueryController>;
  readonly skills: Both<typeof SkillCommandController, typeof SkillQueryController>;
  readonly executions: Both<typeof AgentExecutionCommandController, typeof AgentExecutionQueryController>;
  readonly organizations: Both<typeof OrganizationCommandController, typeof OrganizationQueryController>;
  readonly apiKeys: Both<typeof ApiKeyCommandController, typeof ApiKeyQueryController>;
  readonly runner: Client<typeof RunnerController>;
  /** Ends the streams of runners, as the server's close does. */
  readonly closing: Closing;
  /** Leases the oldest waiting task, as a runner does. */
  lease(now?: number): Promise<{ id: string; fence: number }>;
  /** Closes, and opens the same data again. */
  restart(): Promise<TestServer>;
  /** Closes, and removes the data. */
  dispose(): Promise<void>;
}

export interface TestServerOptions {
  readonly mode?: "local" | "cloud";
  readonly clock?: () => number;
  readonly runs?: Partial<RunStatusesOptions>;
}

/**
 * The services over a real database, called without a network, behind the real authorization. The header `x-org` says whose key
 * it is; default `local`; `x-user` who calls; `x-role` as what, default owner.
 */
export async function openTestServer(options: TestServerOptions = {}): Promise<TestServer> {
  return open({ ...options, place: await createTestStore(), key: randomBytes(32) });
}

interface OpenOptions extends TestServerOptions {
  readonly place: TestStore;
  readonly key: Uint8Array;
}

async function open(options: OpenOptions): Promise<TestServer> {
  const { place, key, mode = "local", clock } = options;
  const opened = await place.open();
  const runs = createRunStatuses({ store: opened, logger: silentLogger, clock, ...options.runs });
  const store = announceRuns(opened, runs);
  const asked: string[] = [];
  const queue = settlePhases({ queue: store.queue, runs, logger: silentLogger });
  const standing = (state: "waiting" | "leased" | "done" | "unknown"): Standing =>
    state === "waiting" ? "waiting" : state === "leased" ? "running" : "over";
  const made = createServices({
    store,
    runs,
    engine: {
      start: async (id) => void asked.push(`start ${id}`),
      cancel: async (id, reason) => void asked.push(`cancel ${id} ${reason}`),
      pause: async (id, reason) => {
        asked.push(`pause ${id} ${reason}`);
        return standing(await queue.pause(id, reason));
      },
      resume: async (id) => {
        asked.push(`resume ${id}`);
        return standing(await queue.resume(id));
      },
      deliver: async (id, item) => {
        asked.push(`deliver ${id} ${item.id}`);
        return standing(await queue.deliver(id, { id: item.id, payload: toBinary(InboxItemSchema, item) }));
      },
    },
    secrets: createSecrets(key),
    principalOf,
    mode,
    logger: silentLogger,
    clock,
  });
  const closing = createClosing();
  const routes = (router: ConnectRouter): void => {
    made.register(router);
    const engine = { type: "embedded", runnerService: {} } as const;
    router.service(
      RunnerController,
      createRunnerService({ store, runs, engine, services: made, version: "9.8.7", logger: silentLogger, closing, clock }),
    );
  };
  const services = new Set(API_SERVICES.map(({ typeName }) => typeName));
  const authorization = authorize({ store, mode, services });
  const gate: Interceptor = (next) => async (request) => {
    const { service, method, header: requestHeader, contextValues: values, signal } = request;
    const org = requestHeader.get("x-org") ?? "local";
    const role = (requestHeader.get("x-role") ?? "owner") as PrincipalRole;
    authenticated(values, { id: requestHeader.get("x-user") ?? `user of ${org}`, org, role });
    await authorization({ service, method, requestHeader, values, signal } as HandlerContext);
    return next(request);
  };
  const transport = createRouterTransport(routes, { router: { interceptors: [gate, validateRequests()] } });
  const both = <C extends DescService, Q extends DescService>(commands: C, queries: Q): Both<C, Q> =>
    Object.assign(createClient(commands, transport), createClient(queries, transport));
  const close = async (): Promise<void> => {
    runs.close();
    await store.close();
  };
  return {
    place,
    store,
    runs,
    transport,
    queue,
    asked,
    agents: both(AgentCommandController, AgentQueryController),
    instances: both(AgentInstanceCommandController, AgentInstanceQueryController),
    sessions: both(SessionCommandController, SessionQueryController),
    environments: both(EnvironmentCommandController, EnvironmentQueryController),
    contexts: both(ExecutionContextCommandController, ExecutionContextQueryController),
    mcpServers: both(McpServerCommandController, McpServerQueryController),
    skills: both(SkillCommandController, SkillQueryController),
    executions: both(AgentExecutionCommandController, AgentExecutionQueryController),
    organizations: both(OrganizationCommandController, OrganizationQueryController),
    apiKeys: both(ApiKeyCommandController, ApiKeyQueryController),
    runner: createClient(RunnerController, transport),
    closing,
    lease: async (now = Date.now()) => {
      const queue = "agent_execution_runner";
      const task = await store.queue.lease({ queue, runnerId: "r1", now, leaseMs: 10_000, maxAttempts: 5 });
      if (!task) throw new Error("Nothing waits.");
      return task;
    },
    restart: async () => {
      await close();
      return await open(options);
    },
    dispose: async () => {
      await close();
      await place.dispose();
    },
  };
}

interface Request<Spec extends object> {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string };
  readonly spec: Spec;
}

interface Variable {
  readonly value: string;
  readonly isSecret?: boolean;
}

/** Requests as clients send them; `spec` and `metadata` are added. */
interface Given {
  agent(name: string, spec?: object, metadata?: object): Request<{ instructions: string }>;
  instance(name: string, agentId: string, spec?: object): Request<{ agentId: string }>;
  session(name: string, instanceId: string, spec?: object, metadata?: object): Request<{ agentInstanceId: string }>;
  environment(name: string, data: Record<string, Variable>): Request<{ data: Record<string, Variable> }>;
  execution(spec: object, metadata?: object): Request<{ message: string }>;
}

const apiVersion = "agentic.stigmer.ai/v1";

export const given: Given = {
  agent: (name, spec, metadata) => ({
    apiVersion,
    kind: "Agent",
    metadata: { name, ...metadata },
    spec: { instructions: "Answer in few words.", ...spec },
  }),
  instance: (name, agentId, spec) => ({
    apiVersion,
    kind: "AgentInstance",
    metadata: { name },
    spec: { agentId, ...spec },
  }),
  session: (name, agentInstanceId, spec, metadata) => ({
    apiVersion,
    kind: "Session",
    metadata: { name, ...metadata },
    spec: { agentInstanceId, ...spec },
  }),
  environment: (name, data) => ({ apiVersion, kind: "Environment", metadata: { name }, spec: { data } }),
  execution: (spec, metadata) => ({
    apiVersion,
    kind: "AgentExecution",
    metadata: { name: "run", ...metadata },
    spec: { message: "Hello", ...spec },
  }),
};
