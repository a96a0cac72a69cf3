import type { FinishedRun, RetentionStore } from "../retention-store.ts";
import type { Session } from "./sql.ts";

const FINISHED = `
  SELECT id, created_at AS "createdAt", completed_at AS "completedAt" FROM executions
  WHERE ended AND created_at < :before AND (created_at, id) > (:after_created_at, :after_id)
  ORDER BY created_at, id LIMIT :limit`;

const EMPTY_SESSIONS = `
  SELECT id FROM resources
  WHERE kind = 'Session' AND created_at < :before AND updated_at < :before
    AND NOT EXISTS (SELECT 1 FROM executions WHERE session_id = resources.id)
  ORDER BY created_at, id LIMIT :limit`;

/** The condition is that of the index `tasks_cleaned_up`. */
const FORGET_CLEANUPS = `
  DELETE FROM tasks WHERE position IN (
    SELECT position FROM tasks WHERE kind = 'cleanup-sandbox' AND state = 'done' AND created_at < :before
    ORDER BY created_at LIMIT :limit
  )`;

const FORGET_AUDIT = `
  DELETE FROM audit_entries WHERE (created_at, id) IN (
    SELECT created_at, id FROM audit_entries WHERE created_at < :before ORDER BY created_at, id LIMIT :limit
  )`;

export function createRetentionStore(session: Session): RetentionStore {
  return {
    finished: ({ before, after, limit }) =>
      session.read((sql) =>
        sql.all<FinishedRun>(FINISHED, {
          before,
          after_created_at: after?.createdAt ?? -1,
          after_id: after?.id ?? "",
          limit,
        }),
      ),
    emptySessions: ({ before, limit }) =>
      session.read(async (sql) =>
        (await sql.all<{ id: string }>(EMPTY_SESSIONS, { before, limit })).map(({ id }) => id),
      ),
    forgetCleanups: ({ before, limit }) => session.write((sql) => sql.run(FORGET_CLEANUPS, { before, limit })),
    forgetAudit: ({ before, limit }) => session.write((sql) => sql.run(FORGET_AUDIT, { before, limit })),
  };
}
