import { Code, ConnectError } from "@connectrpc/connect";
import type { AppendRefusal } from "../store/execution-store.ts";
import type { LedgerRefusal } from "../store/ledger-store.ts";
import { phaseName } from "./phase-name.ts";

/** Who wanted to write for which run. */
export interface Writer {
  readonly executionId: string;
  readonly fence: number;
}

/** What a writer is told that may not write, whatever it wanted to write: the words are the same everywhere. */
export function refusalError(
  { executionId: id, fence }: Writer,
  refusal: AppendRefusal | LedgerRefusal | { readonly kind: "unchanged" },
): ConnectError {
  switch (refusal.kind) {
    case "missing":
      return missingExecution(id);
    case "stale-fence":
      return new ConnectError(
        `fence ${fence} of ${id} is not current (${refusal.currentFence}): another runner has taken over, stop this run`,
        Code.FailedPrecondition,
      );
    case "not-held":
      return new ConnectError(
        `fence ${fence} of ${id} is not held any more: the run waits for its next runner, stop it`,
        Code.FailedPrecondition,
      );
    case "gap":
      return new ConnectError(
        `the status of ${id} under fence ${fence} has ${refusal.lastSequence} changes here, and more were made before this one: ` +
          "what the server had was lost in part (a power cut, a restored copy), stop this run",
        Code.FailedPrecondition,
      );
    case "ended":
      return new ConnectError(
        `${id} has ended (${phaseName(refusal.phase)}): its status is final`,
        Code.FailedPrecondition,
      );
    case "repeated":
    case "moved":
    case "elsewhere":
    case "unchanged":
      return new ConnectError(`the status of ${id} could not be changed: try again`, Code.Aborted);
  }
}

export function missingExecution(id: string): ConnectError {
  return new ConnectError(`AgentExecution ${id} does not exist`, Code.NotFound);
}

/** What those are told who followed the run. */
export function deletedExecution(id: string): ConnectError {
  return new ConnectError(`AgentExecution ${id} was deleted`, Code.NotFound);
}
