import type { Store } from "../store/store.ts";
import { BATCH, DAY_MS, restAfter } from "./sweep.ts";

export interface AuditSweepOptions {
  readonly store: Pick<Store, "retention">;
  /** How long entries of the audit log are kept. */
  readonly auditDays: number;
  /** Milliseconds since 1970. */
  readonly clock: () => number;
  /** Ends it between two transactions. */
  readonly signal: AbortSignal;
}

/** Deletes entries of the audit log that are older than they are kept, in small steps. Answers how many. */
export async function sweepAudit({ store, auditDays, clock, signal }: AuditSweepOptions): Promise<number> {
  const before = clock() - auditDays * DAY_MS;
  let deleted = 0;
  while (!signal.aborted) {
    const count = await restAfter(signal, () => store.retention.forgetAudit({ before, limit: BATCH }));
    deleted += count;
    if (count < BATCH) break;
  }
  return deleted;
}
