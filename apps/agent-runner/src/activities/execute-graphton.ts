import { setImmediate as nextTurn } from "node:timers/promises";
import { create } from "@bufbuild/protobuf";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { AgentError, type AgentEvent, type SqliteLedger, type SteeringMessage } from "@stigmer/agent";
import { createStatusSender, sendStatus, type StigmerClient } from "@stigmer/client";
import { ActivityStop, type Activities, type ActivityContext, type Inbox } from "@stigmer/engine";
import {
  AgentExecutionStatusSchema,
  ExecutionPhase,
  type AgentExecution,
  type AgentExecutionStatus,
  type StatusChange,
} from "@stigmer/protos/agentexecution/v1";
import type { Session } from "@stigmer/protos/session/v1";
import { createReducer, isTerminal, type ModelPrices, type RunOutcome } from "@stigmer/status";
import { contextFrom, failureOf, inSpan, type SpanChoice, traceparentHere } from "@stigmer/telemetry";
import type { JsonLogger as Logger } from "@stigmer/telemetry";
import { bothObservers, noRunnerMetrics, type RunEnd, type RunnerMetrics } from "../metrics.ts";
import type { PrepareAgent, PreparedRun } from "../run/prepare-agent.ts";
import { logOrders } from "../run/log-orders.ts";
import { maskRecorded } from "../run/mask-recorded.ts";
import { endWithRun } from "../run/end-with-run.ts";
import { createRemoteLedger } from "../run/remote-ledger.ts";
import { isToBeTakenUpAgain } from "../run/run-error.ts";
import { decisionsOf } from "../run/approvals.ts";
import { findRun, resolveRun } from "../run/resolve-chain.ts";
import { createRunTimer } from "../run/run-timing.ts";
import { type RunSpan, runSpan } from "../run/run-span.ts";

export interface ExecuteGraphtonDependencies {
  readonly client: StigmerClient;
  readonly prepareAgent: PrepareAgent;
  /** Asked where neither engine nor session names the thread. */
  readonly ensureThread: Activities["ensureThread"];
  /** This machine's ledger, for servers that keep none. */
  readonly localLedger: Pick<SqliteLedger, "forRun" | "deleteRun">;
  readonly statusUpdateEveryEvents: number;
  /** What models cost, before the built-in list prices; asked for each run. */
  readonly modelPrices?: () => ModelPrices | undefined;
  readonly logger: Logger;
  /** Default: nothing is counted. */
  readonly metrics?: RunnerMetrics;
  readonly clock: () => Date;
}

// How long the last delta may take to be acknowledged: a server restart fits in, a lost one must not hold the slot for ever.
const FINAL_STATUS_DEADLINE_MS = 60_000;

// A status travels through an engine's history; what is longer stands in the stored one.
const LONGEST_ERROR = 4_000;

/**
 * Runs one turn of an agent: resolve → prepare → stream → report. What goes wrong in the run is the run's result (FAILED,
 * with `error` and a system message, stored before it is returned). Thrown is only what is no result: a stop that hands the run
 * back, the stop `paused` once PAUSED is stored, and a fault of the way to the server.
 */
export function createExecuteGraphton(dependencies: ExecuteGraphtonDependencies): Activities["executeGraphton"] {
  const { logger, metrics = noRunnerMetrics } = dependencies;
  const sequences: RunOnce["sequences"] = new Map();
  return (execution, threadId, context) =>
    inSpan(spanOf(execution, context), async (span) => {
      const log = {
        executionId: execution.metadata?.id ?? "",
        sessionId: execution.spec?.sessionId ?? "",
        agentId: execution.spec?.agentId ?? "",
        fence: context.fence,
        attempt: context.attempt,
      };
      logger.info(log, "run begins");
      const left = metrics.runBegan();
      try {
        const status = await runOnce({
          ...dependencies,
          metrics,
          sequences,
          execution,
          threadId,
          context,
          span: runSpan(span),
        });
        left(endOf(status.phase));
        runSpan(span).ended(status.phase);
        logger.info({ ...log, phase: status.phase, ...(status.error && { error: status.error }) }, "run ended");
        return status;
      } catch (error) {
        left(ActivityStop.is(error) ? stopped[error.kind] : "unreported");
        if (ActivityStop.is(error))
          logger.info({ ...log, stop: error.kind, reason: error.message }, "run stopped here");
        else logger.warn({ ...log, err: error }, "run could not be reported");
        throw error;
      }
    });
}

const stopped: Readonly<Record<ActivityStop["kind"], RunEnd>> = {
  cancelled: "cancelled",
  paused: "paused",
  draining: "handed-back",
  "lease-lost": "lost",
};

function endOf(phase: ExecutionPhase): RunEnd {
  if (phase === ExecutionPhase.EXECUTION_COMPLETED) return "completed";
  return phase === ExecutionPhase.EXECUTION_CANCELLED ? "cancelled" : "failed";
}

/** An attempt's span, below the call that created the run. */
function spanOf(execution: AgentExecution, { fence, attempt }: ActivityContext): SpanChoice {
  return {
    scope: "@stigmer/agent-runner",
    name: "invoke_agent",
    parent: contextFrom(execution.traceparent),
    attributes: {
      "gen_ai.operation.name": "invoke_agent",
      "gen_ai.conversation.id": execution.spec?.sessionId ?? "",
      "stigmer.execution.id": execution.metadata?.id ?? "",
      "stigmer.fence": fence,
      "stigmer.attempt": attempt,
    },
    failureOf: faultOf,
  };
}

interface RunOnce extends ExecuteGraphtonDependencies {
  readonly execution: AgentExecution;
  readonly threadId: string | undefined;
  readonly context: ActivityContext;
  readonly metrics: RunnerMetrics;
  readonly span: RunSpan;
  /**
   * The last sequence that was sent under a fence, by run, for runs at rest: one that is driven by a workflow which knows no
   * pauses goes on under the same fence, and the server counts on.
   */
  readonly sequences: Map<string, { readonly fence: number; readonly last: number }>;
}

/** What a run was made ready for, for the log. */
interface PreparedFor {
  readonly threadId: string;
  readonly sessionId?: string;
  readonly agentId?: string;
}

/** What the streaming came to: an outcome to store, or for a run at rest the stop to throw once that is stored. */
type Ending =
  | RunOutcome
  | { readonly kind: "paused"; readonly stop: ActivityStop }
  | { readonly kind: "waiting-for-approval"; readonly stop: ActivityStop };

async function runOnce(run: RunOnce): Promise<AgentExecutionStatus> {
  const { execution, context, logger, metrics, clock } = run;
  const begunAt = clock().getTime();
  const { fence } = context;
  const executionId = execution.metadata?.id ?? "";
  const clients = fence > 0 ? run.client.underFence({ executionId, fence }) : run.client;
  // What the server holds, so that a run which goes on elsewhere continues its status instead of starting it over.
  const found = await findRun(execution, { runner: run.client.runner, clients, fence, parts: context.parts });
  const { execution: current } = found;
  if (current.status && isTerminal(current.status.phase)) {
    forgetCalls();
    return bounded(current.status);
  }
  // Stored by a runner that died before its engine knew of it, or paused again before it was taken up: nothing is to be done.
  if (current.status?.phase === ExecutionPhase.EXECUTION_PAUSED && isToPause(context.pause)) throw context.pause.reason;
  // Beside what is sent below. Whether it succeeds is a matter of the run, which is to tell of it.
  const resolving = resolveRun(clients, found);
  resolving.catch(() => {});

  run.span.follows(current.status?.timing?.traceparent);
  const timer = createRunTimer({
    createdAt: createdAtOf(current) ?? begunAt,
    begunAt,
    before: current.status?.timing,
    traceparent: traceparentHere(),
    clock,
  });

  const fenced = new AbortController();
  const signal = AbortSignal.any([context.signal, fenced.signal]);
  const reducer = createReducer({
    executionId,
    message: execution.spec?.message ?? "",
    resumeFrom: current.status,
    prices: run.modelPrices?.(),
    timing: timer.read,
  });
  const before = run.sequences.get(executionId);
  const sent = before?.fence === fence ? before.last : 0;
  run.sequences.delete(executionId);
  let last = sent;
  // Until all is acknowledged: the last word goes over the same stream as the first.
  using record = run.client.runner.recordRun();
  const patchStatus = endWithRun(record, context.ending);
  const { updateStatus } = clients.executions;
  const executions = { patchStatus, updateStatus };
  const send = sendStatus({ executions, executionId, fence, wholeStatus: () => reducer.status });
  const sender = createStatusSender({
    send: async (delta, sequence) => {
      last = sent + sequence;
      await send(delta, last);
      metrics.statusSent("stored");
    },
    flushEveryEvents: run.statusUpdateEveryEvents,
    onFenced: (error) => fenced.abort(new ActivityStop("lease-lost", error.message)),
    onError: (error) => {
      metrics.statusSent("failed");
      logger.warn({ executionId, err: error }, "status update failed, trying again");
    },
  });
  const push = (changes: StatusChange[]): void => sender.push(changes);

  let prepared: PreparedRun | undefined;
  const outcome = await attempt();
  push(lastWords(outcome));
  await acknowledged();
  if ("stop" in outcome) {
    run.sequences.set(executionId, { fence, last });
    throw outcome.stop;
  }
  forgetCalls();
  return bounded(reducer.status);

  function lastWords(ending: Ending): StatusChange[] {
    if (ending.kind === "paused") {
      // A rest of its own is another stop than the one that was asked for.
      return reducer.pause(ending.stop.message, clock(), { itself: ending.stop !== context.pause.reason });
    }
    return ending.kind === "waiting-for-approval" ? reducer.waitForApproval(clock()) : reducer.finish(ending, clock());
  }

  async function attempt(): Promise<Ending> {
    try {
      const preparing = inSpan(PREPARING, prepare);
      preparing.catch(() => {});
      // What that waits for first, the session's workspace, is asked of the disk before the first word is worked on.
      await nextTurn();
      push(reducer.start(clock()));
      await streamAgent(preparing);
      return { kind: "completed" };
    } catch (error) {
      const stop = stopOf(error, signal);
      if (stop?.kind === "cancelled") {
        await endProcesses();
        return { kind: "cancelled", reason: stop.message };
      }
      if (stop?.kind === "paused") {
        if (AgentError.is(error) && error.code === "waiting-for-approval") return { kind: error.code, stop };
        return { kind: "paused", stop };
      }
      if (stop || isToBeTakenUpAgain(error)) {
        sender.abandon();
        throw stop ?? error;
      }
      logger.error({ executionId, err: error }, "run failed");
      return { kind: "failed", error: error instanceof Error ? error.message : String(error) };
    }
  }

  /** The calls under way have ended with the stream; this is what commands left in the background. */
  async function endProcesses(): Promise<void> {
    try {
      await prepared?.endProcesses();
    } catch (error) {
      logger.warn({ executionId, err: error }, "the processes of a cancelled run were not ended");
    }
  }

  async function streamAgent(preparing: ReturnType<typeof prepare>): Promise<void> {
    const agentRun = (prepared = await preparing);
    timer.ready();
    // Also when the thread knows nothing of the run: a runner that died before its first checkpoint left half a turn.
    push(reducer.resume(agentRun.messages, clock()));
    push(reducer.skills(agentRun.skills, clock()));
    logger.info(
      {
        executionId,
        sessionId: agentRun.sessionId,
        agentId: agentRun.agentId,
        threadId: agentRun.threadId,
        position: agentRun.position,
        sandbox: agentRun.sandboxId,
        model: agentRun.model,
      },
      "agent is ready",
    );
    const control = {
      signal,
      pause: context.pause,
      messages: () => messagesOf(context.inbox),
      decisions: () => decisionsOf(context.inbox, reducer.status),
    };
    const quiet = logOrders(context, executionId, logger);
    try {
      for await (const event of agentRun.events(control)) {
        if (isRetry(event)) metrics.modelRetried();
        push(reducer.reduce(event, clock()));
      }
    } finally {
      quiet();
    }
  }

  async function prepare(): Promise<PreparedRun & PreparedFor> {
    const resolved = await resolving;
    signal.throwIfAborted();
    const { agent, session } = resolved;
    run.span.isOf(agent);
    const threadId = await threadOf(session);
    run.span.isOn(threadId);
    const ready = await run.prepareAgent({
      resolved,
      clients,
      tellSandbox: fence > 0 ? (change) => record.rememberSandbox({ executionId, fence, ...change }) : undefined,
      threadId,
      signal,
      observer: bothObservers(timer.observer, metrics.observer),
      createLedger: (mask) =>
        createRemoteLedger({
          record,
          executionId,
          fence,
          signal,
          mask: (result) => maskRecorded(result, mask),
          onFenced: (stop) => fenced.abort(stop),
          onFinished: context.progressed,
          local: run.localLedger.forRun(executionId),
          logger,
        }),
    });
    run.span.uses(ready);
    return { ...ready, threadId, sessionId: session.metadata?.id, agentId: agent.metadata?.id };
  }

  /** The engine's word comes first; then what came with the session. */
  async function threadOf({ metadata, spec }: Session): Promise<string> {
    const known = run.threadId ?? spec?.threadId ?? "";
    return known === "" ? run.ensureThread(metadata?.id ?? "", current.spec?.agentId ?? "", context) : known;
  }

  /** The server does the same with its own ledger when the run ends. */
  function forgetCalls(): void {
    try {
      run.localLedger.deleteRun(executionId);
    } catch (error) {
      logger.warn({ executionId, err: error }, "the run's tool calls were not deleted");
    }
  }

  async function acknowledged(): Promise<void> {
    try {
      await sender.finish({ deadlineMs: FINAL_STATUS_DEADLINE_MS });
    } catch (error) {
      fenced.signal.throwIfAborted();
      throw error;
    }
  }
}

/** A stop is none. */
function faultOf(error: unknown): string | undefined {
  return ActivityStop.is(error) ? undefined : failureOf(error);
}

const PREPARING: SpanChoice = {
  scope: "@stigmer/agent-runner",
  name: "stigmer.prepare",
  failureOf: faultOf,
};

function isRetry({ mode, data }: AgentEvent): boolean {
  return mode === "custom" && (data as { readonly type?: unknown } | null)?.type === "model_retry";
}

function createdAtOf({ status }: AgentExecution): number | undefined {
  const at = status?.audit?.specAudit?.createdAt;
  return at && timestampMs(at);
}

function isToPause({ reason }: AbortSignal): boolean {
  return ActivityStop.is(reason) && reason.kind === "paused";
}

/** Why the activity stops, when it does: told by the engine, asked for by a person, or wanted by the run itself. */
function stopOf(error: unknown, signal: AbortSignal): ActivityStop | undefined {
  if (ActivityStop.is(signal.reason)) return signal.reason;
  if (ActivityStop.is(error)) return error;
  const rests = AgentError.is(error) && (error.code === "paused" || error.code === "waiting-for-approval");
  return rests ? new ActivityStop("paused", error.message) : undefined;
}

/** What people said to the run. */
function messagesOf(inbox: Inbox): SteeringMessage[] {
  return inbox.items.flatMap(({ id, item }) => (item.case === "message" ? [{ id, text: item.value.text }] : []));
}

/** What goes back through the engine: small, whatever the run did. */
function bounded({ phase, error, startedAt, completedAt, revision }: AgentExecutionStatus): AgentExecutionStatus {
  const short = error.length > LONGEST_ERROR ? `${error.slice(0, LONGEST_ERROR).toWellFormed()}…` : error;
  return create(AgentExecutionStatusSchema, { phase, error: short, startedAt, completedAt, revision });
}
