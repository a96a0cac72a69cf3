import { Code, ConnectError } from "@connectrpc/connect";
import type { ExecutionFilter } from "../store/execution-store.ts";
import type { StoreTransaction } from "../store/store.ts";

/** How a deletion goes on. One is made for every transaction of it. */
export interface Deletion {
  /** What depends on the resource is taken along, instead of being left alone and the deletion refused. */
  readonly force: boolean;
  /** The resource goes because what it belongs to goes. */
  readonly cascade: boolean;
  /** How many more rows this transaction may delete. At 0 the rest is left to the next transaction. */
  readonly rows: { left: number };
  readonly taken: TakenAlong;
}

/** What went with a resource, for those who have to be told. */
export interface TakenAlong {
  /** Tasks that clean up after it. */
  readonly tasks: string[];
  readonly runs: string[];
}

/**
 * Other writers wait for a transaction. What has thousands of runs is deleted in several, session by session, each of which
 * leaves everything that is still there whole; the resource itself goes in the last one.
 * @internal
 */
export const MAX_ROWS_PER_DELETION = 500;

export function beginDeletion(force: boolean, maxRows: number = MAX_ROWS_PER_DELETION): Deletion {
  return { force, cascade: false, rows: { left: maxRows }, taken: { tasks: [], runs: [] } };
}

const NAMED_RUNS = 3;

/** Throws FAILED_PRECONDITION, naming some of them, when runs have not ended: what runs is stopped by whoever deletes it, not by us. */
export async function refuseLiveRuns(tx: StoreTransaction, filter: ExecutionFilter, what: string): Promise<void> {
  const live = await tx.executions.list({ ...filter, live: true }, { limit: NAMED_RUNS + 1 });
  if (live.length === 0) return;
  const names = live.slice(0, NAMED_RUNS).map(({ id }) => id);
  const more = live.length > NAMED_RUNS ? " and more" : "";
  const text = `${what} has runs under way (${names.join(", ")}${more}): cancel them or wait for their end`;
  throw new ConnectError(text, Code.FailedPrecondition);
}
