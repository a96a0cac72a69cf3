// What a run costs each tier, and what the queue and the lists of a full database take: the figures of docs/architecture/scaling.md.
import { given, type Parts } from "../parts.ts";
import { fullDatabase } from "./full-database.ts";
import { idleSessions } from "./idle-sessions.ts";
import { redisCost } from "./redis-cost.ts";
import { runCost } from "./run-cost.ts";

/**
 * Needs Linux's /proc, and a Postgres that may be written to. What Redis has to do is measured when the variables of the system suites
 * name it, Docker and Temporal.
 */
export function scaling(): Parts {
  const withPostgres = ["STIGMER_TEST_POSTGRES_URL"];
  return {
    run: given(withPostgres, runCost),
    redis: given(
      [...withPostgres, "STIGMER_TEST_REDIS_URL", "STIGMER_TEST_DOCKER", "STIGMER_TEST_TEMPORAL"],
      redisCost,
    ),
    sessions: given(withPostgres, idleSessions),
    database: given(withPostgres, fullDatabase),
  };
}
