import { create } from "@bufbuild/protobuf";
import { ClientError, createStatusSender, sendStatus, type ResourceClients, type StigmerClient } from "@stigmer/client";
import { ActivityStop, type Activities, type ActivityContext } from "@stigmer/engine";
import {
  AgentExecutionStatusSchema,
  type AgentExecution,
  type AgentExecutionStatus,
} from "@stigmer/protos/agentexecution/v1";
import { createReducer, isTerminal, type RunOutcome, type Reducer } from "@stigmer/status";
import type { Logger } from "../logger.ts";
import type { PrepareAgent } from "../run/prepare-agent.ts";
import { resolveRun } from "../run/resolve-chain.ts";

export interface ExecuteGraphtonDependencies {
  readonly client: Pick<StigmerClient, "underFence">;
  readonly prepareAgent: PrepareAgent;
  readonly statusUpdateEveryEvents: number;
  readonly logger: Logger;
  readonly clock: () => Date;
}

// How long the last delta may take to be acknowledged: a server restart fits in, a lost one must not hold the slot for ever.
const FINAL_STATUS_DEADLINE_MS = 60_000;

/**
 * Runs one turn of an agent: resolve → prepare → stream → report. What goes wrong in the run is the run's result (FAILED,
 * with `error` and a system message); only a stop that hands the run back is thrown.
 */
export function createExecuteGraphton(dependencies: ExecuteGraphtonDependencies): Activities["executeGraphton"] {
  return async (execution, threadId, context) => {
    const executionId = execution.metadata?.id ?? "";
    const sessionId = execution.spec?.sessionId ?? "";
    const log = { executionId, sessionId, threadId, fence: context.fence, attempt: context.attempt };
    dependencies.logger.info(log, "run begins");
    const status = await runOnce({ ...dependencies, execution, threadId, context });
    dependencies.logger.info(
      { ...log, phase: status.phase, ...(status.error && { error: status.error }) },
      "run ended",
    );
    return status;
  };
}

interface RunOnce extends ExecuteGraphtonDependencies {
  readonly execution: AgentExecution;
  readonly threadId: string;
  readonly context: ActivityContext;
}

async function runOnce(run: RunOnce): Promise<AgentExecutionStatus> {
  const { execution, threadId, context, logger, clock } = run;
  const executionId = execution.metadata?.id ?? "";
  const clients = run.client.underFence({ executionId, fence: context.fence });
  const fenced = new AbortController();
  // What the server holds, so that a run which goes on elsewhere continues its status instead of starting it over.
  const current = await clients.executions.get(executionId);
  if (current.status && isTerminal(current.status.phase)) return bounded(current.status);
  const reducer = createReducer({ executionId, message: execution.spec?.message ?? "", resumeFrom: current.status });
  const sender = createStatusSender({
    send: sendStatus({
      executions: clients.executions,
      executionId,
      fence: context.fence,
      wholeStatus: () => reducer.status,
    }),
    flushEveryEvents: run.statusUpdateEveryEvents,
    onFenced: (error) => fenced.abort(new ActivityStop("lease-lost", error.message)),
    onError: (error) => logger.warn({ executionId, err: error }, "status update failed, trying again"),
  });
  const signal = AbortSignal.any([context.signal, fenced.signal]);

  const push = (changes: ReturnType<Reducer["start"]>): void => sender.push(changes);

  const outcome = await attempt();
  push(reducer.finish(outcome, clock()));
  await sender.finish({ deadlineMs: FINAL_STATUS_DEADLINE_MS });
  return bounded(reducer.status);

  async function attempt(): Promise<RunOutcome> {
    try {
      push(reducer.start(clock()));
      await streamAgent(clients);
      return { kind: "completed" };
    } catch (error) {
      const stop = signal.aborted ? signal.reason : error;
      if (ActivityStop.is(stop)) {
        if (stop.kind === "cancelled") return { kind: "cancelled", reason: stop.message };
        sender.abandon();
        throw stop;
      }
      if (ClientError.is(error) && error.code === "unavailable") {
        // The way to the server is broken, not the run: the engine tries it again.
        sender.abandon();
        throw error;
      }
      logger.error({ executionId, err: error }, "run failed");
      return { kind: "failed", error: error instanceof Error ? error.message : String(error) };
    }
  }

  async function streamAgent(from: ResourceClients): Promise<void> {
    const resolved = await resolveRun(from, current);
    signal.throwIfAborted();
    const agentRun = await run.prepareAgent({ resolved, clients: from, threadId });
    // Also when the thread knows nothing of the run: a runner that died before its first checkpoint left half a turn.
    push(reducer.resume(agentRun.messages, clock()));
    logger.info(
      { executionId, position: agentRun.position, sandbox: agentRun.sandboxId, model: agentRun.model },
      "agent is ready",
    );
    for await (const event of agentRun.events({ signal })) push(reducer.reduce(event, clock()));
  }
}

/** What goes back through the engine: small, whatever the run did. */
function bounded({ phase, error, startedAt, completedAt, revision }: AgentExecutionStatus): AgentExecutionStatus {
  return create(AgentExecutionStatusSchema, { phase, error, startedAt, completedAt, revision });
}
