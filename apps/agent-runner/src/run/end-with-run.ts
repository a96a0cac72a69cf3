import type { RunRecord } from "@stigmer/client";
import type { TaskEnding } from "@stigmer/engine";
import type { StatusDelta } from "@stigmer/protos/agentexecution/v1";
import { isTerminal } from "@stigmer/status";

/** Sends a run's changes; with the one that ends the run its task ends too, where that may be: nothing is done for the run after it. */
export function endWithRun(
  record: Pick<RunRecord, "patchStatus" | "patchToEnd">,
  ending: TaskEnding | undefined,
): RunRecord["patchStatus"] {
  if (!ending) return record.patchStatus;
  return async (input) => {
    if (!endsRun(input.delta)) return record.patchStatus(input);
    const { revision, leaseEnded } = await record.patchToEnd(input, ending.runnerId);
    if (leaseEnded) ending.ended();
    return revision;
  };
}

function endsRun({ changes }: StatusDelta): boolean {
  return changes.some(({ change }) => change.case === "run" && isTerminal(change.value.phase));
}
