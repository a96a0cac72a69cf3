import { AgentError } from "../errors.ts";

/** The checkpoint that somebody wants to put, of which graph of a thread, and what it follows. */
export interface NextCheckpoint {
  readonly threadId: string;
  /** `""`: the thread's own graph; any other is a sub-graph's. */
  readonly namespace: string;
  readonly id: string;
  /** The checkpoint before it; undefined: it is the graph's first. */
  readonly parentId: string | undefined;
}

/**
 * The one rule by which every driver takes a checkpoint that is to follow the latest one, or does not. `latest` is that of its graph as it
 * is stored; one that was put already is put again. A thread that is gone was deleted, and stays so; a sub-graph's checkpoints go when its task
 * has ended.
 */
export function isNext({ namespace, id, parentId }: NextCheckpoint, latest: string | undefined): boolean {
  if (latest === undefined) return namespace !== "" || parentId === undefined;
  return latest === parentId || latest === id;
}

/**
 * The latest checkpoint is the one with the greatest id, and ids are LangGraph's: they begin with the time. One that has an earlier time than
 * the one before it would never be found. Throws `AgentError` `checkpoint-conflict`: by the next attempt the clock is past it (`waitUntilPast`).
 */
export function refuseBackwards({ threadId, id, parentId }: NextCheckpoint): void {
  if (parentId === undefined || id > parentId) return;
  throw new AgentError(
    "checkpoint-conflict",
    `The clock of this machine went back: checkpoint ${id} of the conversation ${threadId} has an earlier time than ${parentId} before it. ` +
      "Run the execution again; if that happens again, have the clock set by NTP.",
  );
}

export function conflictOn({ threadId, id, parentId }: NextCheckpoint): AgentError {
  const after = parentId === undefined ? "as the first" : `after ${parentId}`;
  return new AgentError(
    "checkpoint-conflict",
    `The conversation ${threadId} has gone on without this run: checkpoint ${id} was to come ${after}, and somebody else has put one since, or deleted it. ` +
      "Nothing of theirs is lost. Run the execution again, unless another runner has it.",
  );
}
