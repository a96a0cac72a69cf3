import { create } from "@bufbuild/protobuf";
import type { ServiceImpl } from "@connectrpc/connect";
import type { Agent } from "@stigmer/protos/agent/v1";
import type { AgentExecution } from "@stigmer/protos/agentexecution/v1";
import type { AgentInstance } from "@stigmer/protos/agentinstance/v1";
import type { ExecutionContext } from "@stigmer/protos/executioncontext/v1";
import { ApiResourceReferenceSchema } from "@stigmer/protos/apiresource";
import {
  ResolveRunResponseSchema,
  type RunnerController,
  type RunParts,
  RunPartsSchema,
} from "@stigmer/protos/runner/v1";
import type { Session } from "@stigmer/protos/session/v1";
import type { Principal } from "../interceptors/principal.ts";
import type { AgentExecutions } from "./agent-executions.ts";
import type { Call, CallOf } from "./call.ts";
import type { Resources } from "./resources.ts";
import type { SessionThreads } from "./session-threads.ts";

export type ResolveRun = ServiceImpl<typeof RunnerController>["resolveRun"];

/**
 * Reads what a run is made from, for a caller. Throws what the `get` of a part would: whoever may not see a part by itself does not
 * see it here.
 */
export type ReadParts = (execution: AgentExecution, caller: Pick<Call, "principal" | "view">) => Promise<RunParts>;

export interface ReadPartsOptions {
  readonly sessions: Pick<Resources<Session>, "get">;
  readonly instances: Pick<Resources<AgentInstance>, "get">;
  readonly agents: Pick<Resources<Agent>, "get">;
  readonly contexts: Pick<Resources<ExecutionContext>, "findByReference">;
  readonly threads: SessionThreads;
}

export function createReadParts({ sessions, instances, agents, contexts, threads }: ReadPartsOptions): ReadParts {
  async function contextOf({ metadata }: AgentExecution, principal: Principal): Promise<ExecutionContext | undefined> {
    const { org = "", id: slug = "" } = metadata ?? {};
    return contexts.findByReference(create(ApiResourceReferenceSchema, { org, slug }), principal);
  }

  async function instanceOf({ spec }: Session, principal: Principal): Promise<AgentInstance> {
    return instances.get(spec?.agentInstanceId ?? "", principal);
  }

  /** The name of the thread is the holder's to know before anybody has used it. */
  async function giveThread(session: Session, { holds }: Principal): Promise<void> {
    const id = session.metadata?.id ?? "";
    if (!session.spec || session.spec.threadId !== "" || holds?.sessionId !== id) return;
    session.spec.threadId = await threads.ensure(id);
  }

  return async (execution, { principal, view }) => {
    const { sessionId = "", agentId: likelyId = "" } = execution.spec ?? {};
    // Who it will be is known before it is known for sure: an instance may have been given another agent since.
    const likely = likelyId === "" ? undefined : agents.get(likelyId, principal).catch(() => undefined);
    const [{ session, instance }, context] = await Promise.all([
      (async () => {
        const session = await sessions.get(sessionId, principal);
        const [instance] = await Promise.all([instanceOf(session, principal), giveThread(session, principal)]);
        return { session, instance };
      })(),
      contextOf(execution, principal),
    ]);
    const agentId = instance.spec?.agentId ?? "";
    const agent = (agentId === likelyId ? await likely : undefined) ?? (await agents.get(agentId, principal));
    return create(RunPartsSchema, {
      session: view(session),
      instance: view(instance),
      agent: view(agent),
      ...(context && { context: view(context) }),
    });
  };
}

export interface ResolveRunOptions {
  readonly executions: Pick<AgentExecutions, "get">;
  readonly readParts: ReadParts;
  readonly callOf: CallOf;
}

/** What a run is made from, in one call. */
export function createResolveRun({ executions, readParts, callOf }: ResolveRunOptions): ResolveRun {
  return async ({ executionId }, context) => {
    const call = await callOf(context);
    const execution = await executions.get(executionId, call.principal);
    const { $typeName: _, ...parts } = await readParts(execution, call);
    return create(ResolveRunResponseSchema, { execution: call.view(execution), ...parts });
  };
}
