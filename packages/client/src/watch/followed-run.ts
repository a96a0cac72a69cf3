import type { AgentExecutionStatus, StatusDelta } from "@stigmer/protos/agentexecution/v1";
import { createStatusFold, hashesContradict, type StatusFold, StatusError } from "@stigmer/status";
import { ClientError } from "../errors.ts";
import { phaseName, type PhaseName } from "../phases.ts";
import { GiveUp, Reopen } from "./reconnecting.ts";
import { createSaidText, type SaidText } from "./said-text.ts";

/** One step of a run as its watcher sees it. */
export interface ExecutionUpdate {
  /** Hand this to `afterRevision` to go on from here. */
  readonly revision: number;
  readonly phase: PhaseName;
  /**
   * What the agent said since the update before, for showing it as it comes: turns are set apart by an empty line. What is
   * taken back after a crash and said anew comes twice.
   */
  readonly text: string;
  /** What changed since the update before; absent when only the whole is known (the first update, or after a resync). */
  readonly delta?: StatusDelta;
  /** The status after the change. It is live: copy what you keep. */
  readonly status: AgentExecutionStatus;
}

/** Why a watcher asked for the whole run again. */
export interface Resync {
  readonly executionId: string;
  /** The revision at which its own picture was another one than the server's. */
  readonly revision: number;
  readonly reason: string;
}

export interface FollowOptions {
  readonly executionId: string;
  readonly onResync?: (resync: Resync) => void;
}

/** A watcher's picture of one run, held against the server's. */
export interface FollowedRun {
  /** Undefined before the first snapshot, and while it has to be fetched anew. */
  readonly fold: StatusFold | undefined;
  /** 0 while there is no picture. */
  readonly revision: number;
  snapshot(status: AgentExecutionStatus | undefined, at: At): ExecutionUpdate;
  /** Undefined for what is known already. Throws `Reopen` when the run has to be watched anew, from a snapshot. */
  delta(delta: StatusDelta, at: At): ExecutionUpdate | undefined;
}

interface At {
  readonly revision: number;
  /** The server's hash of the status after the event; empty where it sends none. */
  readonly stateHash: string;
}

/** A picture that comes out wrong so often in a row will not come out right. */
const MAX_RESYNCS = 3;

export function createFollowedRun(
  { executionId, onResync }: FollowOptions,
  known?: { readonly status: AgentExecutionStatus; readonly revision: number },
): FollowedRun {
  let fold: StatusFold | undefined = known && createStatusFold(known.status);
  let revision = known?.revision ?? 0;
  const said: SaidText = createSaidText(known?.status);
  let resyncs = 0;
  // A snapshot is the server's own word: if even that hashes otherwise here, hashes tell nothing about what is missing.
  let comparable = true;

  function update(status: AgentExecutionStatus, delta?: StatusDelta): ExecutionUpdate {
    const text = said.read(status, delta);
    return { revision, phase: phaseName(status.phase), text, status, ...(delta && { delta }) };
  }

  function startOver(at: number, reason: string): Error {
    fold = undefined;
    revision = 0;
    resyncs += 1;
    if (resyncs > MAX_RESYNCS) {
      const message = `execution ${executionId}: ${reason}, also after ${MAX_RESYNCS} fresh starts`;
      return new GiveUp(new ClientError("internal", message));
    }
    onResync?.({ executionId, revision: at, reason });
    return new Reopen(reason);
  }

  return {
    get fold() {
      return fold;
    },
    get revision() {
      return revision;
    },
    snapshot(status, at) {
      fold = createStatusFold(status);
      revision = at.revision;
      comparable = at.stateHash === "" || !hashesContradict(fold.hash(), at.stateHash);
      return update(fold.status);
    },
    delta(delta, at) {
      if (!fold || at.revision <= revision) return undefined;
      try {
        fold.apply(delta);
      } catch (error) {
        if (!StatusError.is(error)) throw error;
        throw startOver(at.revision, `a change does not fit the status (${error.message})`);
      }
      revision = at.revision;
      fold.status.revision = revision;
      if (at.stateHash !== "" && comparable) {
        if (hashesContradict(fold.hash(), at.stateHash))
          throw startOver(at.revision, "the status differs from the server's");
        resyncs = 0;
      }
      return update(fold.status, delta);
    },
  };
}
