import { setTimeout as sleep } from "node:timers/promises";
import { type AuditSweepOptions, sweepAudit } from "./sweep-audit.ts";
import { sweep, type SweepOptions } from "./sweep.ts";

export interface Retention {
  /** What this server has deleted since it started. */
  metrics(): RetentionMetrics;
  /** Ends a sweep between two of its steps. */
  close(): Promise<void>;
}

export interface RetentionMetrics {
  readonly runsDeletedTotal: number;
  readonly sessionsDeletedTotal: number;
  readonly auditEntriesDeletedTotal: number;
}

export interface RetentionOptions extends Omit<SweepOptions & AuditSweepOptions, "signal" | "days"> {
  /** How long what has ended is kept. Undefined: for ever. */
  readonly days: number | undefined;
  /** From one sweep to the next, whichever server does it, in milliseconds. Default an hour. */
  readonly everyMs?: number;
  /** How often a server asks whether it is time, in milliseconds. Default a minute. */
  readonly askEveryMs?: number;
}

/** Deletes what is older than it is to be kept, from now on: of several servers one at a time, in small steps. */
export function createRetention(options: RetentionOptions): Retention {
  const { store, days, auditDays, logger, clock, everyMs = 3_600_000, askEveryMs = 60_000 } = options;
  const stop = new AbortController();
  const { signal } = stop;
  let [runsDeletedTotal, sessionsDeletedTotal, auditEntriesDeletedTotal] = [0, 0, 0];

  async function sweepInTurn(): Promise<void> {
    const now = clock();
    if (!(await store.settings.takeTurn("retention", { now, until: now + everyMs }))) return;
    const entries = await sweepAudit({ store, auditDays, clock, signal });
    auditEntriesDeletedTotal += entries;
    if (entries > 0)
      logger.info({ entries, auditDays }, "deleted entries of the audit log that are older than it is kept");
    if (days === undefined) return;
    const { runs, sessions } = await sweep({ ...options, days, signal });
    runsDeletedTotal += runs;
    sessionsDeletedTotal += sessions;
    if (runs + sessions > 0) logger.info({ runs, sessions, days }, "deleted what is older than it is kept");
  }

  const over = (async () => {
    while (!signal.aborted) {
      await sweepInTurn().catch((error: unknown) => {
        logger.warn({ err: error }, "what is older than it is kept could not be deleted; the next sweep goes on");
      });
      await sleep(askEveryMs, undefined, { signal, ref: false }).catch(() => {});
    }
  })();

  return {
    metrics: () => ({ runsDeletedTotal, sessionsDeletedTotal, auditEntriesDeletedTotal }),
    close: () => {
      stop.abort();
      return over;
    },
  };
}
