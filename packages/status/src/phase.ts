import { ExecutionPhase } from "@stigmer/protos/agentexecution/v1";

/** Whether a run in this phase has ended. A terminal phase is never left. */
export function isTerminal(phase: ExecutionPhase): boolean {
  switch (phase) {
    case ExecutionPhase.EXECUTION_COMPLETED:
    case ExecutionPhase.EXECUTION_FAILED:
    case ExecutionPhase.EXECUTION_CANCELLED:
    case ExecutionPhase.EXECUTION_TERMINATED:
      return true;
    default:
      return false;
  }
}

interface Run {
  phase: ExecutionPhase;
  error: string;
  startedAt: string;
  completedAt: string;
}

/**
 * Moves `run` on: what is set in `change` replaces. When the run has ended, only a change of the same phase counts, so
 * that error and times stay those of the phase.
 */
export function moveRun(run: Run, change: Readonly<Run>): void {
  if (isTerminal(run.phase) && change.phase !== run.phase) return;
  run.phase = change.phase || run.phase;
  run.error = change.error || run.error;
  run.startedAt = change.startedAt || run.startedAt;
  run.completedAt = change.completedAt || run.completedAt;
}
