import type { TaskOutbox, TaskState } from "../task-store.ts";
import type { Session } from "./sql.ts";

const ENQUEUE = `
  INSERT INTO tasks (id, kind, queue, session_id, org, payload, state, created_at)
  VALUES (:id, :kind, :queue, :session_id, :org, :payload, 'waiting', :created_at)
  ON CONFLICT (id) DO NOTHING`;

const STATE = "SELECT state, fence, claim_id AS claimId FROM tasks WHERE id = :id";

const COUNT_WAITING = `
  SELECT count(*) AS count FROM (
    SELECT 1 FROM tasks WHERE queue = :queue AND org = :org AND state = 'waiting' AND cancel_reason IS NULL AND pause_reason IS NULL LIMIT :up_to
  )`;

export function createTaskOutbox(session: Session): TaskOutbox {
  return {
    enqueue: ({ id, kind, queue, sessionId, org, payload, createdAt }) =>
      session.write((sql) => {
        sql.run(ENQUEUE, { id, kind, queue, session_id: sessionId, org, payload, created_at: createdAt });
      }),
    countWaiting: ({ queue, org, upTo }) =>
      session.read((sql) => sql.get<{ count: number }>(COUNT_WAITING, { queue, org, up_to: upTo })?.count ?? 0),
    state: (id) => session.read((sql) => sql.get<TaskState>(STATE, { id })),
  };
}
