import { ClientError, type StigmerClient } from "@stigmer/client";
import { type AgentExecutionStatus, ExecutionPhase } from "@stigmer/protos/agentexecution/v1";
import type { RunPrinter } from "../../output/run-view/run-printer.ts";
import { exitCodes } from "../../errors.ts";

export interface FollowOptions {
  readonly client: StigmerClient;
  readonly executionId: string;
  readonly printer: RunPrinter;
  /** Stops following; the run goes on. */
  readonly signal: AbortSignal;
  /** Whether somebody is there who could approve; else a run that waits for approval is left to wait. */
  readonly canApprove: boolean;
  /** Told of each status, after it was shown. */
  readonly onStatus?: (status: AgentExecutionStatus) => void;
  /** Told once for each time the server is lost. */
  readonly onLost?: () => void;
  /** Told each time the run has come to rest. It is followed on: somebody may let it go on. */
  readonly onPaused?: () => void;
}

/** How the following of a run ended. */
export type Followed =
  | { readonly outcome: "ended" | "waits"; readonly status: AgentExecutionStatus }
  | { readonly outcome: "stopped" };

/** Shows a run until it ends, waits for nobody, or `signal` says so. */
export async function followRun(options: FollowOptions): Promise<Followed> {
  const { client, executionId, printer, signal, canApprove } = options;
  let status: AgentExecutionStatus | undefined;
  let lost = false;
  // Apart from the status, which is live.
  let phase = ExecutionPhase.EXECUTION_PHASE_UNSPECIFIED;
  try {
    const onReconnect = (): void => {
      if (!lost) options.onLost?.();
      lost = true;
    };
    for await (const update of client.executions.watch(executionId, { signal, onReconnect })) {
      lost = false;
      const before: ExecutionPhase = phase;
      status = update.status;
      phase = status.phase;
      printer.update(status, update.delta);
      if (phase === ExecutionPhase.EXECUTION_PAUSED && before !== phase) options.onPaused?.();
      options.onStatus?.(status);
      if (phase === ExecutionPhase.EXECUTION_WAITING_FOR_APPROVAL && !canApprove) break;
    }
  } catch (error) {
    printer.close();
    if (signal.aborted) return { outcome: "stopped" };
    throw error;
  }
  if (status === undefined)
    throw new ClientError("internal", `execution ${executionId}: the server told nothing of it`);
  printer.finish(status);
  return { outcome: status.phase === ExecutionPhase.EXECUTION_WAITING_FOR_APPROVAL ? "waits" : "ended", status };
}

/** The exit code that a phase stands for. */
export function exitCodeOf(phase: ExecutionPhase): number {
  switch (phase) {
    case ExecutionPhase.EXECUTION_COMPLETED:
      return 0;
    case ExecutionPhase.EXECUTION_CANCELLED:
      return exitCodes.cancelled;
    case ExecutionPhase.EXECUTION_WAITING_FOR_APPROVAL:
      return exitCodes["waiting-for-approval"];
    default:
      return exitCodes.failed;
  }
}
