// Another author's workflows. They drive our runner by what is written down about it alone: names, queues, two arguments.
import { ActivityCancellationType, proxyActivities } from "@temporalio/workflow";
import type { ForeignMessage } from "./foreign-converter.ts";

interface Runner {
  EnsureThread(sessionId: string, agentId: string): Promise<string>;
  ExecuteGraphton(execution: ForeignMessage, threadId: string): Promise<ForeignMessage>;
  CleanupSandbox(sandboxId: string): Promise<void>;
}

interface Caller {
  runAgent(): Promise<ForeignMessage>;
}

const runner = proxyActivities<Runner>({
  taskQueue: "agent_execution_runner",
  startToCloseTimeout: "10 minutes",
  heartbeatTimeout: "3 seconds",
  retry: { initialInterval: "100 milliseconds", maximumAttempts: 5 },
  // Else it would end without waiting for the runner, which would find nobody to tell.
  cancellationType: ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
});

const caller = proxyActivities<Caller>({ startToCloseTimeout: "10 minutes", retry: { maximumAttempts: 1 } });

export async function foreignInvoke(execution: ForeignMessage): Promise<ForeignMessage> {
  const { spec } = execution.json as { spec: { sessionId: string; agentId: string } };
  const threadId = await runner.EnsureThread(spec.sessionId, spec.agentId);
  return runner.ExecuteGraphton(execution, threadId);
}

export async function foreignCleanup(sandboxId: string): Promise<void> {
  await runner.CleanupSandbox(sandboxId);
}

/** Runs an agent as one of its steps, and waits for it by a callback. */
export async function callAgent(): Promise<ForeignMessage> {
  return caller.runAgent();
}
