import type { ConnectRouter, HandlerContext } from "@connectrpc/connect";
import { DEFAULT_ACTIVITY_QUEUE, type Engine } from "@stigmer/engine";
import type { RunStatuses } from "../executions/run-statuses.ts";
import type { Principal } from "../interceptors/principal.ts";
import type { Logger } from "../logger.ts";
import type { Secrets } from "../secrets/secrets.ts";
import type { Store } from "../store/store.ts";
import { createAccess, createOrganizationAccess } from "./access.ts";
import { agentInstanceDefinition, registerAgentInstances } from "./agent-instances.ts";
import { createAgentExecutions, type AgentExecutionsOptions } from "./agent-executions.ts";
import { registerAgentExecutions } from "./agent-execution-services.ts";
import { agentDefinition, registerAgents } from "./agents.ts";
import { announceTask } from "./announce-task.ts";
import { apiKeyDefinition, registerApiKeys } from "./api-keys.ts";
import { registerAudit } from "./audit.ts";
import { createCallOf } from "./call.ts";
import { environmentDefinition, registerEnvironments } from "./environments.ts";
import { executionContextDefinition, registerExecutionContexts } from "./execution-contexts.ts";
import { createImplicitClaim } from "./implicit-claims.ts";
import { createLargeCounts } from "./large-counts.ts";
import { mcpServerDefinition, registerMcpServers } from "./mcp-servers.ts";
import { organizationDefinition, registerOrganizations } from "./organizations.ts";
import { createResourceHandlers } from "./resource-handlers.ts";
import { createLeasesWithParts, type TakeLeases } from "./leases-with-parts.ts";
import { createRememberSandbox, type RememberSandbox } from "./remember-sandbox.ts";
import { createReadParts, createResolveRun, type ResolveRun } from "./resolve-run.ts";
import { createResources, type Deleted, type Resource, type ResourceDefinition, type Resources } from "./resources.ts";
import { createSessionThreads } from "./session-threads.ts";
import { registerSessions, sessionDefinition } from "./sessions.ts";
import { registerSkills, skillDefinition } from "./skills.ts";

export interface ServicesOptions {
  /** As `announceRuns` made it, so that those who follow runs hear of deletions. */
  readonly store: Store;
  /** Made before the engine, whose `onFinished` and `onExhausted` go to its `finish` and `fail`. */
  readonly runs: RunStatuses;
  readonly engine: AgentExecutionsOptions["engine"] & { readonly runnerService?: Engine["runnerService"] };
  readonly secrets: Secrets;
  readonly principalOf: (context: HandlerContext) => Principal;
  /** In local mode the one user owns everything; in cloud mode organisations are kept apart. */
  readonly mode: "local" | "cloud";
  readonly logger: Logger;
  /** Where runners take tasks from. Default `agent_execution_runner`. */
  readonly taskQueue?: string;
  /** How many runs of an organization may wait; more are refused. Default: any number. */
  readonly maxWaitingRunsPerOrg?: number | undefined;
  /** Milliseconds since 1970. Default `Date.now`. */
  readonly clock?: () => number;
}

export interface Services {
  /**
   * Registers every service of the API but the runner's. The contract's own rules are checked before a handler is called, by the
   * interceptor `validateRequests`.
   */
  readonly register: (router: ConnectRouter) => void;
  /** Of the runner's service, what reads all that the others have, and what writes to it. */
  readonly resolveRun: ResolveRun;
  readonly rememberSandbox: RememberSandbox;
  /** Adds to an engine's leases what those read who hold the runs. */
  readonly leasesWithParts: (takeLeases: TakeLeases) => TakeLeases;
}

export function createServices(options: ServicesOptions): Services {
  const { store, runs, engine, secrets, mode, logger } = options;
  const { taskQueue = DEFAULT_ACTIVITY_QUEUE, clock = Date.now } = options;
  const access = createAccess(mode);
  const callOf = createCallOf(options);
  const resourcesOf = <T extends Resource>(definition: ResourceDefinition<T>, by = access): Resources<T> =>
    createResources(definition, { store, secrets, access: by, onDeleted, clock });

  async function onDeleted({ kind, id, isGone, principal, reason, runs: gone, tasks }: Deleted): Promise<void> {
    for (const task of tasks) await announceTask(engine, { id: task, org: "" }, logger);
    if (!isGone) return;
    const along = { ...(gone.length > 0 && { runs: gone.length }), ...(reason !== "" && { reason }) };
    logger.info({ kind, id, by: principal.id, ...along }, "deleted");
  }

  const sessions = resourcesOf(sessionDefinition({ mode, taskQueue, clock }));
  const instances = resourcesOf(agentInstanceDefinition(sessions));
  const agents = resourcesOf(agentDefinition(instances));
  const skills = resourcesOf(skillDefinition);
  const contexts = resourcesOf(executionContextDefinition);
  const organizations = resourcesOf(organizationDefinition(mode), createOrganizationAccess(mode));
  const keys = resourcesOf(apiKeyDefinition(clock));
  const executions = createAgentExecutions({
    store,
    runs,
    engine,
    sessions,
    contexts,
    secrets,
    access,
    taskQueue,
    maxWaitingRunsPerOrg: options.maxWaitingRunsPerOrg,
    logger,
    clock,
  });

  const register = (router: ConnectRouter): void => {
    const handlersOf = <T extends Resource>(resources: Resources<T>) => createResourceHandlers(resources, callOf);
    registerAgents(router, handlersOf(agents));
    registerAgentInstances(router, { instances, handlers: handlersOf(instances), callOf });
    registerSessions(router, { sessions, handlers: handlersOf(sessions), callOf });
    registerEnvironments(router, handlersOf(resourcesOf(environmentDefinition)));
    registerMcpServers(router, handlersOf(resourcesOf(mcpServerDefinition)));
    registerExecutionContexts(router, handlersOf(contexts));
    registerSkills(router, { skills, handlers: handlersOf(skills), store, callOf, onDeleted, clock });
    const claim = createImplicitClaim({ store, claimExecution: engine.runnerService?.claimExecution });
    const counts = createLargeCounts(clock);
    registerAgentExecutions(router, { executions, store, runs, access, callOf, counts, claim });
    registerOrganizations(router, { organizations, store, mode, callOf });
    registerApiKeys(router, { keys, mode, callOf });
    registerAudit(router, { entries: store.audit, access, callOf });
  };
  const threads = createSessionThreads(store);
  const readParts = createReadParts({ sessions, instances, agents, contexts, threads });
  const leasesWithParts = createLeasesWithParts({ readParts, secrets, principalOf: options.principalOf, logger });
  return {
    register,
    resolveRun: createResolveRun({ executions, readParts, callOf }),
    rememberSandbox: createRememberSandbox({ store, sessions, principalOf: options.principalOf }),
    leasesWithParts,
  };
}
