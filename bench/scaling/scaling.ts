// What a run costs each tier, and what the queue and the lists of a full database take: the figures of docs/architecture/scaling.md.
import type { Figure } from "../report.ts";
import { fullDatabase } from "./full-database.ts";
import { idleSessions } from "./idle-sessions.ts";
import { redisCost } from "./redis-cost.ts";
import { runCost } from "./run-cost.ts";

/**
 * Needs Linux's /proc, and a Postgres that may be written to. What Redis has to do is measured when the variables of the system suites
 * name it, Docker and Temporal.
 */
export function scaling(): Readonly<Record<string, () => Promise<readonly Figure[]>>> {
  const missing = ["STIGMER_TEST_REDIS_URL", "STIGMER_TEST_DOCKER", "STIGMER_TEST_TEMPORAL"].filter(
    (variable) => !process.env[variable],
  );
  if (missing.length > 0) console.log(`Redis is left out: ${missing.join(", ")} names nothing.`);
  return {
    run: runCost,
    ...(missing.length === 0 && { redis: redisCost }),
    sessions: idleSessions,
    database: fullDatabase,
  };
}
