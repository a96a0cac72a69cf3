import { fromBinary } from "@bufbuild/protobuf";
import type { Engine } from "@stigmer/engine";
import { SessionSchema } from "@stigmer/protos/session/v1";
import { setTimeout as sleep } from "node:timers/promises";
import type { Logger } from "../logger.ts";
import { announceTask } from "../services/announce-task.ts";
import { enqueueCleanup } from "../services/enqueue-cleanup.ts";
import type { PagePosition } from "../store/resource-store.ts";
import type { FinishedRun } from "../store/retention-store.ts";
import type { Store } from "../store/store.ts";

export interface SweepOptions {
  readonly store: Store;
  readonly engine: Pick<Engine, "start">;
  /** Where the work of removing a session's sandbox goes. */
  readonly taskQueue: string;
  /** How long what has ended is kept. */
  readonly days: number;
  readonly logger: Logger;
  /** Milliseconds since 1970. */
  readonly clock: () => number;
  /** Ends it between two transactions. */
  readonly signal: AbortSignal;
  /** How much is deleted in one transaction. Default 100. */
  readonly batch?: number;
}

/** What one sweep has deleted. */
export interface Swept {
  readonly runs: number;
  readonly sessions: number;
}

/** @internal */
export const DAY_MS: number = 24 * 60 * 60 * 1_000;

/** Others wait for a transaction, and for the machine: so each is small, and four times as long as it took nothing happens. */
export const BATCH = 100;
const REST = 4;

/**
 * Deletes runs that ended before the time that they are kept for, and sessions that have been idle for as long and have no run
 * any more, with what they left in sandboxes and checkpoints. Safe beside other writers, and beside itself.
 */
export async function sweep(options: SweepOptions): Promise<Swept> {
  const { store, days, clock, signal, batch = BATCH } = options;
  const before = clock() - days * DAY_MS;
  let runs = 0;
  let after: PagePosition | undefined;
  while (!signal.aborted) {
    const page = await store.retention.finished({ before, after, limit: batch });
    after = page.at(-1);
    if (after === undefined) break;
    // A run may have waited for a person for months, and ended yesterday.
    const old = page.filter((run) => endOf(run) < before).map(({ id }) => id);
    if (old.length > 0) runs += await restAfter(signal, () => deleteRuns(store, old));
  }
  let sessions = 0;
  while (!signal.aborted) {
    const ids = await store.retention.emptySessions({ before, limit: batch });
    const deleted = await restAfter(signal, () => deleteSessions(options, ids, before));
    sessions += deleted;
    // Those that stay are in use again.
    if (deleted === 0) break;
  }
  while (!signal.aborted) {
    if ((await restAfter(signal, () => store.retention.forgetCleanups({ before, limit: batch }))) < batch) break;
  }
  return { runs, sessions };
}

function endOf({ completedAt, createdAt }: FinishedRun): number {
  const ended = Date.parse(completedAt);
  return Number.isNaN(ended) ? createdAt : ended;
}

function deleteRuns(store: Store, ids: readonly string[]): Promise<number> {
  return store.transaction(async (tx) => {
    let count = 0;
    for (const id of ids) if (await tx.executions.delete(id)) count += 1;
    return count;
  });
}

/** Each in a transaction of its own: a message that comes to one of them is only that one's competitor. */
async function deleteSessions(
  { store, engine, taskQueue, logger, clock }: SweepOptions,
  ids: readonly string[],
  before: number,
): Promise<number> {
  let count = 0;
  for (const id of ids) {
    const cleanup = await store.transaction(async (tx) => {
      const record = await tx.resources.get("Session", id);
      if (!record || record.updatedAt >= before) return undefined;
      if ((await tx.executions.list({ sessionId: id }, { limit: 1 })).length > 0) return undefined;
      const task = await enqueueCleanup(tx, fromBinary(SessionSchema, record.body), { taskQueue, createdAt: clock() });
      await tx.resources.delete("Session", id);
      return task;
    });
    if (cleanup === undefined) continue;
    await announceTask(engine, { id: cleanup, org: "" }, logger);
    count += 1;
  }
  return count;
}

/** Does a step, and then nothing for four times as long. */
export async function restAfter<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
  const begun = performance.now();
  const result = await work();
  await sleep((performance.now() - begun) * REST, undefined, { signal }).catch(() => {});
  return result;
}
