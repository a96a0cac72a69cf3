import { ActivityCancellationType, type ActivityProxyOptions } from "@temporalio/workflow";
import { rawValueTypeInfo } from "@temporalio/common";
import { ACTIVITY_NAMES, DEFAULT_ACTIVITY_QUEUE } from "../../contract.ts";
import type { SearchAttributeName } from "../search-attributes.ts";
import type { InvokeOptions } from "../workflow-contract.ts";

const MAX_RETRY_DELAY_MS = 30_000;

export interface Settings {
  readonly runnerTaskQueue: string;
  readonly heartbeatTimeoutMs: number;
  readonly maxAttempts: number;
  readonly retryDelayMs: number;
  readonly searchAttributes: ReadonlySet<SearchAttributeName>;
}

/** Options of a caller in any language: what is missing or makes no sense has its default. */
export function settingsOf(options: unknown): Settings {
  const given: InvokeOptions = typeof options === "object" && options !== null ? options : {};
  const { runnerTaskQueue, heartbeatTimeoutMs, maxAttempts, retryDelayMs, searchAttributes } = given;
  return {
    runnerTaskQueue: typeof runnerTaskQueue === "string" && runnerTaskQueue ? runnerTaskQueue : DEFAULT_ACTIVITY_QUEUE,
    heartbeatTimeoutMs: numberOf(heartbeatTimeoutMs, { atLeast: 1, otherwise: 15_000 }),
    maxAttempts: numberOf(maxAttempts, { atLeast: 1, otherwise: 10 }),
    retryDelayMs: numberOf(retryDelayMs, { atLeast: 0, otherwise: 500 }),
    searchAttributes: new Set(Array.isArray(searchAttributes) ? searchAttributes : []),
  };
}

/** How long to wait before the attempt that follows the `failures`-th failure in a row (from 1), in milliseconds. */
export function retryDelayMs({ retryDelayMs }: Settings, failures: number): number {
  return Math.min(MAX_RETRY_DELAY_MS, retryDelayMs * 2 ** (failures - 1));
}

/**
 * One attempt each: the workflow counts and waits itself. How long a task waits for a runner is unlimited: a queue without
 * runners is waited for.
 */
export function activityOptions<A>(
  { runnerTaskQueue, heartbeatTimeoutMs }: Settings,
  { startToCloseTimeout }: { readonly startToCloseTimeout: string & ActivityProxyOptions["startToCloseTimeout"] },
): ActivityProxyOptions<A> {
  return {
    taskQueue: runnerTaskQueue,
    heartbeatTimeout: heartbeatTimeoutMs,
    startToCloseTimeout,
    retry: { maximumAttempts: 1 },
    // The run has an end only when its runner has let go of it.
    cancellationType: ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
    // As they came: a result that can't be read is a failed attempt, not a workflow that is stuck.
    activityTypeInfo: Object.fromEntries(
      Object.values(ACTIVITY_NAMES).map((name) => [name, { outputType: rawValueTypeInfo }]),
    ) as NonNullable<ActivityProxyOptions<A>["activityTypeInfo"]>,
  };
}

function numberOf(
  value: unknown,
  { atLeast, otherwise }: { readonly atLeast: number; readonly otherwise: number },
): number {
  return typeof value === "number" && value >= atLeast ? value : otherwise;
}
