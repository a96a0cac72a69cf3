import type { FinishedRun, RetentionStore } from "../retention-store.ts";
import type { Session } from "./sql.ts";
import { INDEXED, tailOf } from "./tail.ts";

const FINISHED_OF = "id, created_at, completed_at FROM executions";
const WANTED = "ended AND created_at < :before AND (created_at, id) > (:after_created_at, :after_id)";
const FINISHED = `
  SELECT id, created_at AS "createdAt", completed_at AS "completedAt" FROM (
    SELECT * FROM (
      SELECT ${FINISHED_OF} INDEXED BY executions_by_creation WHERE ${INDEXED} AND ${WANTED}
      ORDER BY created_at, id LIMIT :limit
    )
    UNION ALL SELECT ${FINISHED_OF} NOT INDEXED WHERE ${tailOf("executions")} AND ${WANTED}
  ) ORDER BY created_at, id LIMIT :limit`;

const EMPTY_OF = "SELECT id, created_at FROM resources";
const EMPTY = `kind = 'Session' AND created_at < :before AND updated_at < :before
  AND NOT EXISTS (SELECT 1 FROM executions INDEXED BY executions_by_session WHERE ${INDEXED} AND session_id = resources.id)
  AND id NOT IN (SELECT session_id FROM executions NOT INDEXED WHERE ${tailOf("executions")})`;
const EMPTY_SESSIONS = `
  SELECT id FROM (
    SELECT * FROM (
      ${EMPTY_OF} INDEXED BY resources_by_creation WHERE ${INDEXED} AND ${EMPTY} ORDER BY created_at, id LIMIT :limit
    )
    UNION ALL ${EMPTY_OF} NOT INDEXED WHERE ${tailOf("resources")} AND ${EMPTY}
  ) ORDER BY created_at, id LIMIT :limit`;

/** The condition is that of the index `tasks_cleaned_up`. */
const FORGET_CLEANUPS = `
  DELETE FROM tasks WHERE position IN (
    SELECT position FROM tasks WHERE kind = 'cleanup-sandbox' AND state = 'done' AND created_at < :before
    ORDER BY created_at LIMIT :limit
  )`;

const ENTRY_OF = "SELECT position, created_at, id FROM audit_entries";
const FORGET_AUDIT = `
  DELETE FROM audit_entries WHERE position IN (
    SELECT position FROM (
      SELECT * FROM (
        ${ENTRY_OF} INDEXED BY audit_entries_by_creation WHERE ${INDEXED} AND created_at < :before
        ORDER BY created_at, id LIMIT :limit
      )
      UNION ALL ${ENTRY_OF} NOT INDEXED WHERE ${tailOf("audit_entries")} AND created_at < :before
    ) ORDER BY created_at, id LIMIT :limit
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
      session.read((sql) => sql.all<{ id: string }>(EMPTY_SESSIONS, { before, limit }).map(({ id }) => id)),
    forgetCleanups: ({ before, limit }) => session.write((sql) => sql.run(FORGET_CLEANUPS, { before, limit })),
    forgetAudit: ({ before, limit }) => session.write((sql) => sql.run(FORGET_AUDIT, { before, limit })),
  };
}
