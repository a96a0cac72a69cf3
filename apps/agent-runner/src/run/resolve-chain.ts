import { ClientError, type ResourceClients, type RunnerClient } from "@stigmer/client";
import type { Agent } from "@stigmer/protos/agent/v1";
import type { AgentExecution } from "@stigmer/protos/agentexecution/v1";
import type { AgentInstance } from "@stigmer/protos/agentinstance/v1";
import type { ApiResourceReference } from "@stigmer/protos/apiresource";
import type { Environment } from "@stigmer/protos/environment/v1";
import type { ExecutionContext } from "@stigmer/protos/executioncontext/v1";
import type { McpServer } from "@stigmer/protos/mcpserver/v1";
import type { RunParts } from "@stigmer/protos/runner/v1";
import type { Session } from "@stigmer/protos/session/v1";
import type { EnvironmentLayer } from "./merge-environment.ts";
import { type ReferencedSkill, resolveSkills } from "./resolve-skills.ts";
import { named, RunError } from "./run-error.ts";
import { readContext, runVariables } from "./run-variables.ts";

/** Everything that a run is made from. */
export interface ResolvedRun {
  /** As stored now, with its status so far: a run that goes on elsewhere has one already. */
  readonly execution: AgentExecution;
  readonly session: Session;
  readonly instance: AgentInstance;
  readonly agent: Agent;
  /** Those of the agent, in the order of its references, then those of the session and of the sub-agents. */
  readonly skills: readonly ReferencedSkill[];
  /** In the order of the instance's references. */
  readonly environments: readonly Environment[];
  /** In the order of the agent's references. */
  readonly mcpServers: readonly McpServer[];
  /** The run's own variables, which override all others. */
  readonly variables: EnvironmentLayer;
}

/** What a run is made from, as far as one thing leads to the next. */
export interface RunChain extends Pick<ResolvedRun, "session" | "instance" | "agent"> {
  /** Undefined when the run has none. */
  readonly context: ExecutionContext | undefined;
}

export interface FoundRun {
  /** With its status so far. */
  readonly execution: AgentExecution;
  /** Fails where something is missing, which is the run's to tell. */
  readonly chain: Promise<RunChain>;
}

export interface FindRunOptions {
  readonly runner: Pick<RunnerClient, "resolveRun">;
  /** Under the same fence. */
  readonly clients: ResourceClients;
  /** 0: the server knows no fences, so it resolves nothing either. */
  readonly fence: number;
  /** What came with the task, which is then the run as it is. Default: nothing. */
  readonly parts?: RunParts | undefined;
}

/**
 * Takes what came with the task, or asks for the run and the chain behind it in one call. Where that can't be answered (a server of
 * before, a part that is gone) each part is asked for by itself, which tells what is wrong with which. Of a `task` that came alone
 * only what never changes is looked at.
 */
export async function findRun(task: AgentExecution, options: FindRunOptions): Promise<FoundRun> {
  const { runner, clients, fence, parts } = options;
  if (parts?.session && parts.instance && parts.agent) {
    const { session, instance, agent, context } = parts;
    return { execution: task, chain: Promise.resolve({ session, instance, agent, context }) };
  }
  const executionId = task.metadata?.id ?? "";
  const found = fence > 0 ? await runner.resolveRun({ executionId, fence }).catch(unlessAway) : undefined;
  const { execution, session, instance, agent, context } = found ?? {};
  if (execution && session && instance && agent) {
    return { execution, chain: Promise.resolve({ session, instance, agent, context }) };
  }
  // Beside the question for the run, not after it.
  const chain = early(followChain(clients, task));
  return { execution: await clients.executions.get(executionId), chain };
}

/** A server that is away answers nothing else either. */
function unlessAway(error: unknown): undefined {
  if (!ClientError.is(error) || error.code === "unavailable") throw error;
}

/** Follows Execution → Session → AgentInstance → Agent, a call for each. */
async function followChain(clients: ResourceClients, execution: AgentExecution): Promise<RunChain> {
  const sessionId = execution.spec?.sessionId ?? "";
  if (sessionId === "") throw new RunError(`Session ID is required for execution ${execution.metadata?.id ?? ""}`);
  // Each link costs a way to the server and back: what may be at the chain's end is asked for at its beginning.
  const likelyAgentId = execution.spec?.agentId ?? "";
  const likelyAgent = likelyAgentId === "" ? undefined : early(clients.agents.get(likelyAgentId));
  const context = early(readContext(clients.transport, execution));
  const session = await clients.sessions.get(sessionId);
  const instance = await clients.agentInstances.get(session.spec?.agentInstanceId ?? "");
  const agentId = instance.spec?.agentId ?? "";
  const agent = await (agentId === likelyAgentId && likelyAgent ? likelyAgent : clients.agents.get(agentId));
  return { session, instance, agent, context: await context };
}

/**
 * Looks up what the chain refers to. Throws `RunError` that names what is missing, and `ClientError` `unavailable` when the server
 * is away.
 */
export async function resolveRun(clients: ResourceClients, { execution, chain }: FoundRun): Promise<ResolvedRun> {
  const { session, instance, agent, context } = await chain;
  const org = agent.metadata?.org ?? "";
  const environmentRefs = instance.spec?.environmentRefs ?? [];
  const mcpServerRefs = agent.spec?.mcpServerRefs ?? [];
  const [skills, environments, mcpServers] = await Promise.all([
    resolveSkills(clients, { agent, session }),
    Promise.all(
      environmentRefs.map((ref, at) =>
        named(`spec.environment_refs[${at}]`, () => clients.environments.getByReference(toReference(ref, org))),
      ),
    ),
    Promise.all(
      mcpServerRefs.map(({ ref }, at) =>
        named(`spec.mcp_server_refs[${at}].ref`, () => clients.mcpServers.getByReference(toReference(ref, org))),
      ),
    ),
  ]);
  const variables = runVariables(execution, context);
  return { execution, session, instance, agent, skills, environments, mcpServers, variables };
}

/** Its failure counts when it is its turn, if ever. */
function early<T>(asked: Promise<T>): Promise<T> {
  asked.catch(() => {});
  return asked;
}

function toReference(
  ref: ApiResourceReference | undefined,
  org: string,
): { slug: string; org: string; version: string } {
  return { slug: ref?.slug ?? "", org: ref?.org || org, version: ref?.version ?? "" };
}
