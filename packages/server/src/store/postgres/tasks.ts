import type { OrganizationRuns, TaskOutbox, TaskState } from "../task-store.ts";
import type { Session } from "./sql.ts";

/**
 * One transaction at a time puts a task of a session in: the positions of a session's tasks are in the order in which others
 * come to see them, so that no earlier one turns up after a later one was leased.
 */
const ENQUEUE = `
  WITH turn AS MATERIALIZED (
    SELECT pg_advisory_xact_lock(hashtextextended(:session_id::text, 0)) WHERE :session_id::text <> ''
  )
  INSERT INTO tasks (id, kind, queue, session_id, org, payload, state, created_at)
  SELECT :id, :kind, :queue, :session_id::text, :org::text, :payload::bytea, 'waiting', :created_at::bigint FROM (SELECT count(*) FROM turn) AS taken
  ON CONFLICT (id) DO NOTHING`;

const STATE = 'SELECT state, fence, claim_id AS "claimId" FROM tasks WHERE id = :id';

/** The words of `tasks_open_by_session`, so that it is used. */
const HOLDS_LEASE =
  "SELECT 1 FROM tasks WHERE session_id = :session_id AND state <> 'done' AND state = 'leased' LIMIT 1";

const COUNT_WAITING = `
  SELECT count(*) AS count FROM (
    SELECT 1 FROM tasks WHERE queue = :queue AND org = :org AND state = 'waiting' AND cancel_reason IS NULL AND pause_reason IS NULL LIMIT :up_to::bigint
  ) AS waiting`;

const RUNS_BY_ORGANIZATION = `
  WITH open AS (
    SELECT org, count(*) FILTER (WHERE state = 'leased') AS leased,
      count(*) FILTER (WHERE state = 'waiting' AND pause_reason IS NULL) AS waiting,
      count(*) FILTER (WHERE state = 'waiting' AND pause_reason IS NOT NULL) AS paused
    FROM tasks WHERE state <> 'done' AND kind = 'execution' GROUP BY org
  ), ranked AS (
    SELECT *, row_number() OVER (ORDER BY leased + waiting + paused DESC, org) AS place FROM open
  ), told AS (
    SELECT CASE WHEN place <= :most THEN org ELSE '' END AS org, place, waiting, paused, leased FROM ranked
  )
  SELECT org, sum(waiting)::bigint AS waiting, sum(paused)::bigint AS paused, sum(leased)::bigint AS leased
  FROM told GROUP BY org ORDER BY org = '', min(place)`;

export function createTaskOutbox(session: Session): TaskOutbox {
  return {
    enqueue: ({ id, kind, queue, sessionId, org, payload, createdAt }) =>
      session.write(async (sql) => {
        await sql.run(ENQUEUE, { id, kind, queue, session_id: sessionId, org, payload, created_at: createdAt });
      }),
    countWaiting: ({ queue, org, upTo }) =>
      session.read(
        async (sql) => (await sql.get<{ count: number }>(COUNT_WAITING, { queue, org, up_to: upTo }))?.count ?? 0,
      ),
    runsByOrganization: (options) =>
      session.read((sql) => sql.all<OrganizationRuns>(RUNS_BY_ORGANIZATION, { ...options })),
    state: (id) => session.read((sql) => sql.get<TaskState>(STATE, { id })),
    holdsLease: (sessionId) =>
      session.read(async (sql) => (await sql.get(HOLDS_LEASE, { session_id: sessionId })) !== undefined),
  };
}
