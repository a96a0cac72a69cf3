import { ClientError, type ResourceClients } from "@stigmer/client";
import type { Agent } from "@stigmer/protos/agent/v1";
import type { AgentExecution } from "@stigmer/protos/agentexecution/v1";
import type { AgentInstance } from "@stigmer/protos/agentinstance/v1";
import type { ApiResourceReference } from "@stigmer/protos/apiresource";
import type { Environment } from "@stigmer/protos/environment/v1";
import type { Session } from "@stigmer/protos/session/v1";
import type { Skill } from "@stigmer/protos/skill/v1";
import type { EnvironmentLayer } from "./merge-environment.ts";
import { RunError } from "./run-error.ts";
import { readRunVariables } from "./run-variables.ts";

/** Everything that a run is made from. */
export interface ResolvedRun {
  /** As stored now, with its status so far: a run that goes on elsewhere has one already. */
  readonly execution: AgentExecution;
  readonly session: Session;
  readonly instance: AgentInstance;
  readonly agent: Agent;
  /** In the order of the agent's references. */
  readonly skills: readonly Skill[];
  /** In the order of the instance's references. */
  readonly environments: readonly Environment[];
  /** The run's own variables, which override all others. */
  readonly variables: EnvironmentLayer;
}

/**
 * Follows Execution → Session → AgentInstance → Agent and every reference. `execution` is the stored one, as read under the
 * run's fence. Throws `RunError` that names what is missing, and `ClientError` `unavailable` when the server is away.
 */
export async function resolveRun(clients: ResourceClients, execution: AgentExecution): Promise<ResolvedRun> {
  const sessionId = execution.spec?.sessionId ?? "";
  if (sessionId === "") throw new RunError(`Session ID is required for execution ${execution.metadata?.id ?? ""}`);
  const session = await clients.sessions.get(sessionId);
  const instance = await clients.agentInstances.get(session.spec?.agentInstanceId ?? "");
  const agent = await clients.agents.get(instance.spec?.agentId ?? "");
  const org = agent.metadata?.org ?? "";
  const skillRefs = agent.spec?.skillRefs ?? [];
  const environmentRefs = instance.spec?.environmentRefs ?? [];
  const [skills, environments, variables] = await Promise.all([
    Promise.all(
      skillRefs.map((ref, at) =>
        named(`spec.skill_refs[${at}]`, () => clients.skills.getByReference(toReference(ref, org))),
      ),
    ),
    Promise.all(
      environmentRefs.map((ref, at) =>
        named(`spec.environment_refs[${at}]`, () => clients.environments.getByReference(toReference(ref, org))),
      ),
    ),
    readRunVariables(clients.transport, execution),
  ]);
  return { execution, session, instance, agent, skills, environments, variables };
}

function toReference(ref: ApiResourceReference, org: string): { slug: string; org: string; version: string } {
  return { slug: ref.slug, org: ref.org || org, version: ref.version };
}

/** Says which field of the manifest a failed look-up comes from. */
async function named<T>(field: string, lookUp: () => Promise<T>): Promise<T> {
  try {
    return await lookUp();
  } catch (cause) {
    // A server that is away says nothing about the field.
    if (ClientError.is(cause) && cause.code === "unavailable") throw cause;
    throw new RunError(`${field}: ${(cause as Error).message}`, { cause });
  }
}
