// What a run costs each tier, and what the queue and the lists of a full database take: the figures of docs/architecture/scaling.md.
import type { Figure } from "../report.ts";
import { fullDatabase } from "./full-database.ts";
import { runCost } from "./run-cost.ts";

/** Needs Linux's /proc, and a Postgres that may be written to. */
export function scaling(): Readonly<Record<string, () => Promise<readonly Figure[]>>> {
  return { run: runCost, database: fullDatabase };
}
