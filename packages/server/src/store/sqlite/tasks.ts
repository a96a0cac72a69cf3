import type { TaskOutbox, TaskState } from "../task-store.ts";
import type { Session } from "./sql.ts";

const ENQUEUE = `
  INSERT INTO tasks (id, kind, queue, session_id, payload, state, created_at)
  VALUES (:id, :kind, :queue, :session_id, :payload, 'waiting', :created_at)
  ON CONFLICT (id) DO NOTHING`;

const STATE = "SELECT state, fence, claim_id AS claimId FROM tasks WHERE id = :id";

export function createTaskOutbox(session: Session): TaskOutbox {
  return {
    enqueue: ({ id, kind, queue, sessionId, payload, createdAt }) =>
      session.write((sql) => {
        sql.run(ENQUEUE, { id, kind, queue, session_id: sessionId, payload, created_at: createdAt });
      }),
    state: (id) => session.read((sql) => sql.get<TaskState>(STATE, { id })),
  };
}
