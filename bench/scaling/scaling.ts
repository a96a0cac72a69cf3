// What a run costs each tier, and what the queue and the lists of a full database take: the figures of docs/architecture/scaling.md.
import type { Figure } from "../report.ts";
import { fullDatabase } from "./full-database.ts";
import { runCost } from "./run-cost.ts";

/** Needs Linux's /proc, and a Postgres that may be written to. */
export function scaling(): Readonly<Record<string, () => Promise<readonly Figure[]>>> {
  return { run: runCost, database: fullDatabase };
}

/** An address as `STIGMER_TEST_POSTGRES_URL`. Throws without it. */
export function postgresUrl(): string {
  const url = process.env["STIGMER_TEST_POSTGRES_URL"];
  if (!url) throw new Error("Set STIGMER_TEST_POSTGRES_URL to a Postgres that may be written to.");
  return url;
}
