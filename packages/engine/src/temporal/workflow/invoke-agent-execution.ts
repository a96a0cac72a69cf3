import {
  allHandlersFinished,
  CancellationScope,
  condition,
  continueAsNew,
  proxyActivities,
  setHandler,
  upsertSearchAttributes,
  workflowInfo,
} from "@temporalio/workflow";
import {
  type AgentExecution,
  AgentExecutionSchema,
  type AgentExecutionStatus,
  ExecutionPhase,
} from "@stigmer/protos/agentexecution/v1";
import { ApplicationFailure, type RawValue } from "@temporalio/common";
import { ACTIVITY_NAMES } from "../../contract.ts";
import type { Standing } from "../../engine.ts";
import type { AttemptFailure } from "../failures.ts";
import { messageOf } from "../payload-converter.ts";
import { SEARCH_ATTRIBUTES, type SearchAttributeName } from "../search-attributes.ts";
import {
  type AttemptContext,
  type InvokeOptions,
  type KnownRun,
  type RunState,
  STATE_QUERY,
} from "../workflow-contract.ts";
import { attempted, type CarriedAttempts, createAttempts } from "./attempts.ts";
import { listen } from "./listen.ts";
import { ended, endOf, threadOf } from "./read-result.ts";
import { raw, takesRawArguments, valueOf } from "./raw-values.ts";
import { type CarriedOrders, createOrders } from "./orders.ts";
import { activityOptions, settingsOf } from "./settings.ts";

/** Attempts, counted or not, after which the workflow goes on with a new history. */
const MAX_STARTS_OF_A_HISTORY = 100;

/** What a run takes along into its next history; a starter knows less of it. */
interface CarriedRun extends KnownRun {
  readonly attempts?: CarriedAttempts;
  readonly orders?: CarriedOrders;
}

interface RunnerActivities {
  [ACTIVITY_NAMES.ensureThread](sessionId: string, agentId: string): Promise<RawValue>;
  [ACTIVITY_NAMES.executeGraphton](
    execution: AgentExecution,
    threadId: string,
    context: AttemptContext,
  ): Promise<RawValue>;
}

/**
 * Runs one execution to its end, whatever becomes of its runners. What it takes, answers and throws is written down in
 * workflow-contract.ts.
 *
 * @param carriedRun a {@link KnownRun}; of an earlier history of the same run, all that it left.
 */
export async function invokeAgentExecution(
  argument?: RawValue<AgentExecution>,
  options?: RawValue<InvokeOptions>,
  carriedRun?: RawValue<CarriedRun>,
): Promise<AgentExecutionStatus> {
  const execution = messageOf(AgentExecutionSchema, valueOf(argument));
  const executionId = execution.metadata?.id || workflowInfo().workflowId;
  const settings = settingsOf(valueOf(options));
  const carried = valueOf(carriedRun) as CarriedRun | undefined;
  const orders = createOrders(carried?.orders);
  const attempts = createAttempts(settings, carried?.attempts);
  let threadId = typeof carried?.threadId === "string" && carried.threadId !== "" ? carried.threadId : undefined;
  let state: RunState["standing"] = "waiting";
  let underWay: CancellationScope | undefined;

  const standing = (): Standing => (state === "paused" ? "waiting" : state);
  const isCancelled = (): boolean => orders.cancelReason !== undefined;
  const cancelIfAsked = (): void => {
    if (isCancelled()) underWay?.cancel();
  };
  listen({ executionId, orders, standing, changed: cancelIfAsked });
  setHandler(STATE_QUERY, () => ({
    executionId,
    standing: state,
    attempt: attempts.attempt,
    inboxItems: orders.inbox.length,
    ...(threadId !== undefined && { threadId }),
    ...(isCancelled() && { cancelReason: orders.cancelReason }),
    ...(orders.pause && { pause: orders.pause }),
    ...(attempts.lastFailure !== undefined && { lastFailure: attempts.lastFailure }),
  }));

  // Temporal's own cancel request is one more way to ask. The rest must not be cut off by it: the run ends in order.
  CancellationScope.current().cancelRequested.catch(() => {
    orders.cancel("The workflow was cancelled.");
    cancelIfAsked();
  });
  return CancellationScope.nonCancellable(async () => {
    const end = await untilEnd();
    state = "over";
    tell(end instanceof ApplicationFailure ? ExecutionPhase.EXECUTION_FAILED : end.phase);
    await condition(allHandlersFinished);
    if (end instanceof ApplicationFailure) throw end;
    return end;
  });

  async function untilEnd(): Promise<AgentExecutionStatus | ApplicationFailure> {
    const { sessionId = "", agentId = "" } = execution.spec ?? {};
    if (sessionId === "") {
      return ended(ExecutionPhase.EXECUTION_FAILED, `Session ID is required for execution ${executionId}`);
    }
    tell(ExecutionPhase.EXECUTION_PENDING, {
      StigmerAgent: agentId,
      StigmerSession: sessionId,
      StigmerOrg: execution.metadata?.org ?? "",
    });
    for (let starts = 0; ; starts += 1) {
      await untilItMayStart();
      if (orders.cancelReason !== undefined) return ended(ExecutionPhase.EXECUTION_CANCELLED, orders.cancelReason);
      if (workflowInfo().continueAsNewSuggested || starts >= MAX_STARTS_OF_A_HISTORY) await startNewHistory();

      state = "running";
      tell(ExecutionPhase.EXECUTION_IN_PROGRESS);
      attempts.start();
      orders.attemptStarts();
      underWay = new CancellationScope();
      const outcome = await attempted(underWay, () => oneAttempt(sessionId, agentId));
      underWay = undefined;
      state = "waiting";
      if ("result" in outcome) return outcome.result;
      const end = endAfter(outcome.failure);
      if (end) return end;
    }
  }

  async function untilItMayStart(): Promise<void> {
    if (attempts.waitMs > 0) await condition(() => isCancelled() || orders.pause !== undefined, attempts.waitMs);
    if (!orders.pause || isCancelled()) return;
    state = "paused";
    tell(ExecutionPhase.EXECUTION_PAUSED);
    await condition(() => isCancelled() || !orders.pause);
    state = "waiting";
  }

  async function oneAttempt(sessionId: string, agentId: string): Promise<AgentExecutionStatus> {
    const quick = proxyActivities<RunnerActivities>(activityOptions(settings, { startToCloseTimeout: "1 minute" }));
    // Silence ends an attempt, not its length: an agent may work for days.
    const long = proxyActivities<RunnerActivities>(activityOptions(settings, { startToCloseTimeout: "30 days" }));
    threadId ??= threadOf(await quick[ACTIVITY_NAMES.ensureThread](sessionId, agentId));
    const context: AttemptContext = { attempt: attempts.attempt, inbox: orders.inbox };
    return endOf(await long[ACTIVITY_NAMES.executeGraphton](execution, threadId, context));
  }

  /** The end that an attempt without a result means, if it means one. */
  function endAfter(failure: AttemptFailure): AgentExecutionStatus | ApplicationFailure | undefined {
    const cancelReason = orders.cancelReason ?? (failure.kind === "cancelled" ? failure.message : undefined);
    if (cancelReason !== undefined) return ended(ExecutionPhase.EXECUTION_CANCELLED, cancelReason);
    if (failure.kind === "refused") return ended(ExecutionPhase.EXECUTION_FAILED, failure.message);
    if (failure.kind === "paused") orders.attemptRests({ reason: failure.message, itself: failure.itself });
    return attempts.failed(failure, `The execution ${executionId}`);
  }

  async function startNewHistory(): Promise<never> {
    await condition(allHandlersFinished);
    const carry: CarriedRun = {
      attempts: attempts.carry(),
      orders: orders.carry(),
      ...(threadId !== undefined && { threadId }),
    };
    return continueAsNew<typeof invokeAgentExecution>(raw(execution), options ?? raw(undefined), raw(carry));
  }

  /** Writes into those search attributes that the namespace has. */
  function tell(phase: ExecutionPhase, more: Partial<Record<SearchAttributeName, string>> = {}): void {
    const values = { ...more, StigmerPhase: ExecutionPhase[phase] };
    const updates = Object.entries(values).flatMap(([name, value]) => {
      const key = SEARCH_ATTRIBUTES[name as SearchAttributeName];
      return value && settings.searchAttributes.has(name as SearchAttributeName) ? [{ key, value }] : [];
    });
    if (updates.length > 0) upsertSearchAttributes(updates);
  }
}

takesRawArguments(invokeAgentExecution);
