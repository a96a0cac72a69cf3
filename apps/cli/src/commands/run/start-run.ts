import { stat } from "node:fs/promises";
import { resolve } from "node:path";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import type { StigmerClient } from "@stigmer/client";
import { isLoopback } from "@stigmer/config";
import { agenticApiVersion, createId } from "@stigmer/protos";
import type { Agent, RunLimitsSchema } from "@stigmer/protos/agent/v1";
import {
  type AgentExecution,
  AgentExecutionSchema,
  type UnknownOutcomePolicy,
  type WhenBusy,
} from "@stigmer/protos/agentexecution/v1";
import { type Session, SessionSchema } from "@stigmer/protos/session/v1";
import { CliError } from "../../errors.ts";
import { findAgent } from "../../resources/find-agent.ts";
import { type SandboxName, sandboxTypeOf, showSandboxType } from "../../resources/sandbox-type.ts";
import type { RunVariable } from "./run-environment.ts";

/** What to do about an agent that is not there. */
export const AGENT_ADVICE = ": list them with `stigmer list agents`, add one with `stigmer apply -f FILE`";

export interface StartRunOptions {
  readonly agent: string;
  readonly message: string;
  /** Absolute. The session works in it as it is. */
  readonly workspaceDir?: string;
  /** The kind that a new session is made with; one to go on with must have been made with it. */
  readonly sandbox?: SandboxName;
  /** A session to go on with. */
  readonly sessionId?: string;
  readonly model?: string;
  /** What to do about a tool call of which a lost runner left nobody knowing whether it happened. Default: the agent is told. */
  readonly unknownOutcome?: UnknownOutcomePolicy;
  readonly variables?: Readonly<Record<string, RunVariable>>;
  /** What happens when a run of the session is under way. Default: this one waits. */
  readonly whenBusy?: WhenBusy;
  /** Nobody is asked before tools are run. */
  readonly autoApprove?: boolean;
  /** In place of the agent's. */
  readonly limits?: MessageInitShape<typeof RunLimitsSchema>;
}

/** Finds the agent, prepares the session and submits the run. */
export async function startRun(client: StigmerClient, options: StartRunOptions): Promise<AgentExecution> {
  return await client.executions.create(await prepareRun(client, options));
}

/** All of `startRun` but the submission. */
export async function prepareRun(client: StigmerClient, options: StartRunOptions): Promise<AgentExecution> {
  const agent = await findAgent(client, options.agent, AGENT_ADVICE);
  const sessionId = await chooseSession(client, agent, options);
  // Ids made here let a person who loses the answer find the run all the same.
  const id = createId("AgentExecution");
  return create(AgentExecutionSchema, {
    apiVersion: agenticApiVersion,
    kind: "AgentExecution",
    metadata: { id, name: id, org: agent.metadata?.org },
    spec: {
      agentId: sessionId === undefined ? (agent.metadata?.id ?? "") : "",
      sessionId,
      message: options.message,
      executionConfig: {
        modelName: options.model,
        unknownOutcome: options.unknownOutcome,
        limits: options.limits,
        autoApprove: options.autoApprove,
      },
      runtimeEnv: { ...options.variables },
      whenBusy: options.whenBusy,
    },
  });
}

async function chooseSession(
  client: StigmerClient,
  agent: Agent,
  { sessionId, workspaceDir, sandbox, message }: StartRunOptions,
): Promise<string | undefined> {
  if (sessionId !== undefined) {
    const session = await client.sessions.get(sessionId);
    assertSandbox(session, sandbox);
    const instance = await client.agentInstances.get(session.spec?.agentInstanceId ?? "");
    if (instance.spec?.agentId === agent.metadata?.id) return sessionId;
    throw new CliError("failed", `Session ${sessionId} is one of another agent than ${agent.metadata?.slug}`);
  }
  if (workspaceDir === undefined && sandbox === undefined) return undefined;
  const id = createId("Session");
  const session = create(SessionSchema, {
    apiVersion: agenticApiVersion,
    kind: "Session",
    metadata: { id, name: id, org: agent.metadata?.org },
    spec: {
      agentInstanceId: agent.status?.defaultInstanceId,
      subject: message.replace(/\s+/g, " ").slice(0, 80),
      workspaceDir,
      sandboxType: sandbox && sandboxTypeOf(sandbox),
    },
  });
  const made = await client.sessions.create(session);
  if (made.spec?.sandboxType !== session.spec?.sandboxType) {
    const why = "the server is too old to give a session a kind of sandbox: upgrade it, or leave --sandbox out";
    throw new CliError("failed", `--sandbox ${sandbox} can't be used: ${why}`);
  }
  return made.metadata?.id;
}

/** Throws when a session was made with another kind of sandbox than the one asked for. */
export function assertSandbox({ metadata, spec }: Session, sandbox: SandboxName | undefined): void {
  if (sandbox === undefined || spec?.sandboxType === sandboxTypeOf(sandbox)) return;
  const had = showSandboxType(spec?.sandboxType) || "its runner's kind";
  throw new CliError(
    "failed",
    `Session ${metadata?.id} was made with a sandbox of ${had}, not ${sandbox}: leave --sandbox out to go on with it, or start another session`,
  );
}

/** The absolute path of a directory that the server, on the same machine, can work in. */
export async function checkWorkspace(
  dir: string,
  { cwd, endpoint }: { cwd: string; endpoint: string },
): Promise<string> {
  const path = resolve(cwd, dir);
  if (!isLoopback(endpoint)) {
    const why = `it is a directory of this machine, and the server is ${endpoint}`;
    throw new CliError("failed", `--workspace ${dir} can't be used: ${why}`);
  }
  const found = await stat(path).catch((cause: NodeJS.ErrnoException) => {
    const reason =
      cause.code === "ENOENT" ? "there is no such directory: make it first" : `it can't be read (${cause.code})`;
    throw new CliError("failed", `--workspace ${dir}: ${reason}`, { cause });
  });
  if (!found.isDirectory()) throw new CliError("failed", `--workspace ${dir}: it is not a directory`);
  return path;
}
