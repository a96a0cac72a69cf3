import type { OrganizationRuns, TaskOutbox, TaskState } from "../task-store.ts";
import type { Session } from "./sql.ts";

const ENQUEUE = `
  INSERT INTO tasks (id, kind, queue, session_id, org, payload, state, created_at)
  VALUES (:id, :kind, :queue, :session_id, :org, :payload, 'waiting', :created_at)
  ON CONFLICT (id) DO NOTHING`;

const STATE = "SELECT state, fence, claim_id AS claimId FROM tasks WHERE id = :id";

/** The words of `tasks_open_by_session`, so that it is used. */
const HOLDS_LEASE =
  "SELECT 1 FROM tasks WHERE session_id = :session_id AND state <> 'done' AND state = 'leased' LIMIT 1";

const COUNT_WAITING = `
  SELECT count(*) AS count FROM (
    SELECT 1 FROM tasks WHERE queue = :queue AND org = :org AND state = 'waiting' AND cancel_reason IS NULL AND pause_reason IS NULL LIMIT :up_to
  )`;

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
  SELECT org, sum(waiting) AS waiting, sum(paused) AS paused, sum(leased) AS leased
  FROM told GROUP BY org ORDER BY org = '', min(place)`;

export function createTaskOutbox(session: Session): TaskOutbox {
  return {
    enqueue: ({ id, kind, queue, sessionId, org, payload, createdAt }) =>
      session.write((sql) => {
        sql.run(ENQUEUE, { id, kind, queue, session_id: sessionId, org, payload, created_at: createdAt });
      }),
    countWaiting: ({ queue, org, upTo }) =>
      session.read((sql) => sql.get<{ count: number }>(COUNT_WAITING, { queue, org, up_to: upTo })?.count ?? 0),
    runsByOrganization: (options) =>
      session.read((sql) => sql.all<OrganizationRuns>(RUNS_BY_ORGANIZATION, { ...options })),
    state: (id) => session.read((sql) => sql.get<TaskState>(STATE, { id })),
    holdsLease: (sessionId) => session.read((sql) => sql.get(HOLDS_LEASE, { session_id: sessionId }) !== undefined),
  };
}
