import type { TaskOutbox, TaskState } from "../task-store.ts";
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

const COUNT_WAITING = `
  SELECT count(*) AS count FROM (
    SELECT 1 FROM tasks WHERE queue = :queue AND org = :org AND state = 'waiting' AND cancel_reason IS NULL AND pause_reason IS NULL LIMIT :up_to::bigint
  ) AS waiting`;

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
    state: (id) => session.read((sql) => sql.get<TaskState>(STATE, { id })),
  };
}
