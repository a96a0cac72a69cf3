import { setImmediate as nextTurn } from "node:timers/promises";
import {
  createAgent,
  type AgentOptions,
  type AgentRun,
  type CallObserver,
  type McpConnections,
  type ModelConfig,
  type ToolCallLedger,
} from "@stigmer/agent";
import type { ResourceClients } from "@stigmer/client";
import { MessageType, UnknownOutcomePolicy } from "@stigmer/protos/agentexecution/v1";
import { createPricing, type ModelPrices, type SkillInUse } from "@stigmer/status";
import { describeSubAgents } from "./describe-sub-agents.ts";
import { maskSecrets, type SecretMask } from "./mask-secrets.ts";
import { approvalsOf } from "./approvals.ts";
import { mcpServersOf, refusePrograms } from "./mcp-servers.ts";
import { mergeEnvironment } from "./merge-environment.ts";
import type { ResolvedRun } from "./resolve-chain.ts";
import { rememberSandbox, type SandboxMemory } from "./remember-sandbox.ts";
import { named } from "./run-error.ts";
import { costBy, limitsOf, usedBy } from "./run-limits.ts";
import type { SessionWorkspaces } from "./session-workspaces.ts";
import { withEnvironment } from "./with-environment.ts";
import { createWriteSkills } from "./write-skills.ts";

/** An agent on its thread, with what the log says about it. */
export interface PreparedRun extends AgentRun {
  readonly sandboxId: string;
  readonly model: string;
  readonly skills: readonly SkillInUse[];
  /** Ends every process in the session's sandbox, also what earlier runs left in the background. */
  endProcesses(): Promise<void>;
}

export interface PrepareRequest {
  readonly resolved: ResolvedRun;
  readonly clients: ResourceClients;
  readonly tellSandbox: SandboxMemory["tellSandbox"];
  readonly threadId: string;
  /** Makes the run's ledger, with the mask for what must not be written down. */
  readonly createLedger: (mask: SecretMask) => ToolCallLedger;
  /** Told of the agent's calls. */
  readonly observer?: CallObserver;
  /** Ends the preparation. */
  readonly signal: AbortSignal;
}

export type PrepareAgent = (request: PrepareRequest) => Promise<PreparedRun>;

/** Where runs keep their steps. What it takes to use them may be loaded at the first call. */
export interface Checkpoints {
  checkpointer(): Promise<AgentOptions["checkpointer"]>;
  close(): Promise<void>;
}

export interface PrepareAgentDependencies {
  readonly workspaces: SessionWorkspaces;
  readonly checkpoints: Pick<Checkpoints, "checkpointer">;
  readonly mcp: Pick<McpConnections, "open">;
  /** Whether MCP servers may be programs and containers on this machine. */
  readonly allowsMcpPrograms: boolean;
  /** The model of a name, or the configured one. Throws `RunError` when there is none. */
  readonly resolveModel: (modelName: string | undefined) => Promise<ModelConfig>;
  /** What models cost, before the built-in list prices; asked for each run. */
  readonly modelPrices: () => ModelPrices | undefined;
  readonly clock: () => Date;
}

/** Sandbox, skills, environment, model, agent: everything that must stand before the first model call. */
export function createPrepareAgent(dependencies: PrepareAgentDependencies): PrepareAgent {
  const writeSkills = createWriteSkills();
  return async ({ resolved, clients, tellSandbox, threadId, createLedger, observer, signal }) => {
    const { execution, session, agent, environments, skills, mcpServers, variables } = resolved;
    const model = await chooseModel(resolved, dependencies.resolveModel);
    let remembered: Promise<unknown> | undefined;
    const workspace = await dependencies.workspaces.get(session, (id, { foundWithout }) => {
      // Said with the run's first word: the server stores both at once, and is done with them before the model's answer is there.
      const stored = rememberSandbox({ sessions: clients.sessions, tellSandbox, foundWithout }, session, id);
      remembered = stored.catch(() => {});
      return stored;
    });
    // What has been said of the run goes out first: to the request to the model this thread has no other pause.
    await nextTurn();
    const layers = [agent.spec?.envSpec?.data ?? {}, ...environments.map((each) => each.spec?.data ?? {}), variables];
    const environment = mergeEnvironment(layers);
    const sandbox = withEnvironment(workspace.sandbox, environment);
    const mask = maskSecrets(environment.secrets);
    const written = await writeSkills({
      clients,
      sandbox,
      directory: workspace.skillsDirectory,
      isNew: workspace.isNew,
      sessionId: session.metadata?.id ?? "",
      skills,
    });
    // For whoever has to wait for it, below.
    written.settled.catch(() => {});
    const { servers, secrets } = mcpServersOf(agent, mcpServers, layers);
    if (!dependencies.allowsMcpPrograms) refusePrograms(servers);
    const mcp = await dependencies.mcp.open({
      sessionId: session.metadata?.id ?? "",
      directory: workspace.directory,
      servers,
      mask: maskSecrets([...environment.secrets, ...secrets]).apply,
      signal,
    });
    const [opened] = await Promise.all([openAgent(), written.settled]).catch((error: unknown) => {
      mcp.release();
      throw error;
    });
    return {
      position: opened.position,
      messages: opened.messages,
      async *events(control) {
        try {
          yield* opened.events(control);
        } finally {
          mcp.release();
          // A runner may write to the session for as long as it has one of its runs.
          await remembered;
        }
      },
      sandboxId: sandbox.id,
      skills: written.inUse,
      model: `${model.provider}:${model.model}`,
      async endProcesses() {
        const processes = await sandbox.processes();
        await Promise.all(processes.map((each) => each.kill()));
      },
    };

    async function openAgent(): Promise<AgentRun> {
      const ready = await createAgent({
        model,
        instructions: agent.spec?.instructions ?? "",
        skillsSection: written.sectionOf(""),
        context: {
          organization: agent.metadata?.org,
          workingDirectory: sandbox.root,
          date: dependencies.clock().toISOString().slice(0, 10),
          notice: workspace.notice,
        },
        sandbox,
        tools: mcp.tools,
        subAgents: await describeSubAgents(agent.spec?.subAgents ?? [], {
          resolveModel: dependencies.resolveModel,
          skillsSectionOf: written.sectionOf,
          mcp,
        }),
        allowedTools: agent.spec?.tools,
        disallowedTools: agent.spec?.disallowedTools,
        ledger: createLedger(mask),
        maskToolOutput: mask.apply,
        observer,
        limits: limitsOf(agent, execution),
        approvals: approvalsOf(resolved),
        costOf: costBy(createPricing(dependencies.modelPrices())),
        unknownOutcome:
          execution.spec?.executionConfig?.unknownOutcome === UnknownOutcomePolicy.PAUSE ? "pause" : "tell-agent",
        checkpointer: await dependencies.checkpoints.checkpointer(),
        spillDirectory: workspace.spillDirectory,
      });
      return ready.open({
        threadId,
        runId: execution.metadata?.id ?? "",
        input: execution.spec?.message ?? "",
        used: usedBy(execution),
        // Asked is answered: a run whose status says that it rests for these is given out only when somebody has resumed it.
        restedFor: execution.status?.messages.flatMap(({ type, content }) =>
          type === MessageType.MESSAGE_SYSTEM ? [content] : [],
        ),
      });
    }
  };
}

/** The model that the execution names, else its agent, else the configured one. Throws `RunError`, which names the field. */
async function chooseModel(
  { execution, agent }: ResolvedRun,
  resolveModel: PrepareAgentDependencies["resolveModel"],
): Promise<ModelConfig> {
  const ofExecution = execution.spec?.executionConfig?.modelName;
  if (ofExecution) return named("spec.execution_config.model_name", () => resolveModel(ofExecution));
  const ofAgent = agent.spec?.modelName;
  if (ofAgent) return named(`model_name of agent ${agent.metadata?.slug}`, () => resolveModel(ofAgent));
  return resolveModel(undefined);
}
