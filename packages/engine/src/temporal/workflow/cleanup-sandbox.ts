import { CancellationScope, proxyActivities, sleep } from "@temporalio/workflow";
import { ApplicationFailure, type RawValue } from "@temporalio/common";
import { type CleanupSandboxTask, CleanupSandboxTaskSchema } from "@stigmer/protos/runner/v1";
import { ACTIVITY_NAMES } from "../../contract.ts";
import { FAILURE_TYPES } from "../failures.ts";
import { messageOf } from "../payload-converter.ts";
import type { CleanupContext, InvokeOptions } from "../workflow-contract.ts";
import { attempted, createAttempts } from "./attempts.ts";
import { takesRawArguments, valueOf } from "./raw-values.ts";
import { activityOptions, settingsOf } from "./settings.ts";

interface RunnerActivities {
  [ACTIVITY_NAMES.cleanupSandbox](sandboxId: string, context: CleanupContext): Promise<RawValue>;
}

/** Frees what a deleted session used. Fails as an execution does, when all its attempts are used up. */
export async function cleanupSandbox(
  argument?: RawValue<CleanupSandboxTask>,
  options?: RawValue<InvokeOptions>,
): Promise<void> {
  const task = messageOf(CleanupSandboxTaskSchema, valueOf(argument));
  const { sandboxId, sessionId, workspaceDir, sandboxType } = task;
  const settings = settingsOf(valueOf(options));
  const attempts = createAttempts(settings);
  const activities = proxyActivities<RunnerActivities>(activityOptions(settings, { startToCloseTimeout: "1 hour" }));
  while (true) {
    if (attempts.waitMs > 0) await sleep(attempts.waitMs);
    attempts.start();
    const context: CleanupContext = { attempt: attempts.attempt, sessionId, workspaceDir, sandboxType };
    const outcome = await attempted(CancellationScope.current(), () =>
      activities[ACTIVITY_NAMES.cleanupSandbox](sandboxId, context),
    );
    if ("result" in outcome) return;
    if (outcome.failure.kind === "refused" || outcome.failure.kind === "cancelled") {
      throw ApplicationFailure.nonRetryable(outcome.failure.message, FAILURE_TYPES[outcome.failure.kind]);
    }
    const givenUp = attempts.failed(outcome.failure, `The cleanup of the session ${sessionId}`);
    if (givenUp) throw givenUp;
  }
}

takesRawArguments(cleanupSandbox);
