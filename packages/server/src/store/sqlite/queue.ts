import { AT_REST, type LeaseKey, type QueuedItem, type QueuedTask } from "@stigmer/engine/embedded";
import type { QueueStore, TaskKind } from "@stigmer/engine/embedded";
import type { Session, Sql } from "./sql.ts";

interface Row {
  id: string;
  kind: TaskKind;
  queue: string;
  session_id: string;
  org: string;
  payload: Uint8Array;
  created_at: number;
  fence: number;
  attempt: number;
  runner_id: string;
  cancel_reason: string | null;
  pause_reason: string | null;
  last_failure: string;
  orders: number;
  orders_at_rest: number | null;
}

/** What `tasks_runnable` has: the words are the index's, so that it is used. */
const RUNNABLE = "state = 'waiting' AND cancel_reason IS NULL AND pause_reason IS NULL";

/**
 * From organization to organization by the index, however many tasks each of them has. Whether another one is deliverable beside
 * it would be such a search again; whether another one waits at all is one look into the index.
 */
const LEASE = `
  WITH RECURSIVE waiting (org) AS (
    SELECT min(org) FROM tasks WHERE queue = :queue AND ${RUNNABLE}
    UNION ALL
    SELECT (SELECT min(org) FROM tasks WHERE queue = :queue AND ${RUNNABLE} AND org > waiting.org)
    FROM waiting WHERE waiting.org IS NOT NULL
  ), standing (org, live) AS MATERIALIZED (
    SELECT org, (SELECT count(*) FROM tasks WHERE tasks.org = waiting.org AND state = 'leased')
    FROM waiting WHERE org IS NOT NULL
  ), first (live, position) AS MATERIALIZED (
    SELECT live, (
      SELECT position FROM tasks AS candidate
      WHERE queue = :queue AND candidate.org = standing.org AND ${RUNNABLE} AND available_at <= :now
        AND attempt < :max_attempts AND (session_id = '' OR NOT EXISTS (
          SELECT 1 FROM tasks AS earlier
          WHERE earlier.session_id = candidate.session_id AND earlier.position < candidate.position
            AND earlier.state <> 'done'
        ))
      ORDER BY position LIMIT 1
    ) FROM standing WHERE org = '' OR :max_per_org IS NULL OR live < :max_per_org
  )
  UPDATE tasks SET state = 'leased', fence = fence + 1, attempt = attempt + 1, runner_id = :runner_id,
    expires_at = :expires_at, claim_id = '', orders_at_rest = NULL
  WHERE position = (SELECT position FROM first WHERE position IS NOT NULL ORDER BY live, position LIMIT 1)
  RETURNING *,
    EXISTS (SELECT 1 FROM tasks AS other WHERE queue = :queue AND ${RUNNABLE} AND other.position <> tasks.position) AS more,
    (SELECT count(*) FROM task_inbox WHERE task_id = tasks.id) AS items`;

/** The lease is current: named, and held by this runner. */
const CURRENT = "id = :id AND fence = :fence AND state = 'leased' AND runner_id = :runner_id";

const RENEW = `
  UPDATE tasks SET expires_at = :expires_at, attempt = CASE WHEN :progressed THEN 1 ELSE attempt END
  WHERE ${CURRENT} RETURNING *`;

const RELEASE = `
  UPDATE tasks SET state = 'waiting', available_at = :available_at, last_failure = coalesce(:failure, last_failure),
    attempt = attempt - iif(orders_at_rest = orders, 1, :uncounted),
    pause_reason = coalesce(pause_reason, CASE WHEN orders_at_rest = orders THEN coalesce(:pause_reason, :at_rest)
      WHEN orders_at_rest IS NULL THEN :pause_reason END),
    orders_at_rest = NULL
  WHERE ${CURRENT}`;

const EXPIRE = `
  UPDATE tasks SET state = 'waiting', available_at = 0, last_failure = :failure,
    attempt = attempt - iif(orders_at_rest = orders, 1, 0),
    pause_reason = coalesce(pause_reason, iif(orders_at_rest = orders, :at_rest, NULL)), orders_at_rest = NULL
  WHERE state = 'leased' AND expires_at <= :now RETURNING *`;

const HOLD = `
  INSERT INTO task_holders (id, expires_at) VALUES (:id, :expires_at)
  ON CONFLICT (id) DO UPDATE SET expires_at = excluded.expires_at`;

const ADOPT = `
  UPDATE tasks SET runner_id = :holder
  WHERE state = 'leased' AND runner_id IN (SELECT id FROM task_holders WHERE id <> :holder AND expires_at <= :now)
  RETURNING *`;

/** Something is asked of an open task; its holder has to hear of it. */
const asking = (change: string): string =>
  `UPDATE tasks SET ${change}, orders = orders + (state = 'leased') WHERE id = :id AND state <> 'done'`;

const NEXT_DUE = `
  SELECT min(due) AS due FROM (
    SELECT min(expires_at) AS due FROM tasks INDEXED BY tasks_live_by_org WHERE state = 'leased'
    UNION ALL SELECT min(available_at) FROM tasks WHERE state = 'waiting' AND available_at > :now AND available_at > 0 AND pause_reason IS NULL
  )`;

/** Each half by an index of what few tasks are, however many wait. */
const UNDELIVERABLE = `
  SELECT * FROM tasks INDEXED BY tasks_to_cancel WHERE state = 'waiting' AND cancel_reason IS NOT NULL
  UNION SELECT * FROM tasks INDEXED BY tasks_tried WHERE state = 'waiting' AND attempt > 0 AND attempt >= :max
  ORDER BY position`;

/** Those that wait are found among the open ones: the words are the index's. */
const COUNTS = `
  SELECT (SELECT count(*) FROM tasks WHERE state = 'leased') AS leased, count(pause_reason) AS paused,
    count(*) - count(pause_reason) AS waiting, min(iif(pause_reason IS NULL, created_at, NULL)) AS oldest
  FROM tasks INDEXED BY tasks_open_by_session WHERE state <> 'done' AND state = 'waiting'`;

const LEASED_TO = `
  SELECT * FROM tasks INDEXED BY tasks_live_by_org WHERE state = 'leased' AND runner_id = :runner_id
  ORDER BY position`;

const DELIVER = `
  INSERT INTO task_inbox (task_id, id, payload)
  SELECT id, :item, :payload FROM tasks WHERE id = :id AND state <> 'done'
  ON CONFLICT (task_id, id) DO NOTHING`;

/** What SET reads are the values of before. */
const CLAIM = `
  UPDATE tasks SET fence = fence + (claim_id <> :claim_id), claim_id = :claim_id
  WHERE id = :id AND state = 'leased' RETURNING *`;

/** The engine's queue as rows of the server's database, so that a run and its place in the queue are written together. */
export function createQueueStore(session: Session): QueueStore {
  return {
    // As the writer does.
    commitsTogether: true,
    lease: ({ queue, runnerId, now, leaseMs, maxAttempts, maxPerOrg }) =>
      session.write((sql) => {
        const row = sql.get<Row & { more: number; items: number }>(LEASE, {
          queue,
          now,
          runner_id: runnerId,
          expires_at: now + leaseMs,
          max_attempts: maxAttempts,
          max_per_org: maxPerOrg ?? null,
        });
        return row && { ...toTask(row), isLast: row.more === 0, items: row.items };
      }),
    renew: ({ runnerId, leases, expiresAt }) =>
      session.write((sql) =>
        leases.flatMap(({ taskId, fence, progressed = false }) => {
          const parameters = {
            id: taskId,
            fence,
            runner_id: runnerId,
            expires_at: expiresAt,
            progressed: Number(progressed),
          };
          const row = sql.get<Row>(RENEW, parameters);
          return row ? [toTask(row)] : [];
        }),
      ),
    complete: (lease, runnerId) =>
      session.write((sql) => {
        const parameters = { id: lease.taskId, fence: lease.fence, runner_id: runnerId };
        sql.run(`UPDATE tasks SET state = 'done' WHERE ${CURRENT}`, parameters);
        return isIn("done", sql, lease);
      }),
    release: (lease, { runnerId, counted, availableAt, failure, pauseReason }) =>
      session.write((sql) => {
        sql.run(RELEASE, {
          id: lease.taskId,
          fence: lease.fence,
          runner_id: runnerId,
          available_at: availableAt,
          uncounted: counted ? 0 : 1,
          failure: failure ?? null,
          pause_reason: pauseReason ?? null,
          at_rest: AT_REST,
        });
        return isIn("waiting", sql, lease);
      }),
    expire: ({ now, failure }) =>
      session.write((sql) => inOrder(sql.all<Positioned>(EXPIRE, { now, failure, at_rest: AT_REST }))),
    requestCancel: (taskId, reason) =>
      session.write((sql) => {
        sql.run(asking("cancel_reason = coalesce(cancel_reason, :reason)"), { id: taskId, reason });
        return stateOf(sql, taskId);
      }),
    pause: (taskId, reason) =>
      session.write((sql) => {
        sql.run(asking("pause_reason = coalesce(pause_reason, :reason)"), { id: taskId, reason });
        return stateOf(sql, taskId);
      }),
    resume: (taskId) =>
      session.write((sql) => {
        sql.run(asking("pause_reason = NULL"), { id: taskId });
        return stateOf(sql, taskId);
      }),
    deliver: (taskId, item) =>
      session.write((sql) => {
        sql.run(DELIVER, { id: taskId, item: item.id, payload: item.payload });
        return stateOf(sql, taskId);
      }),
    inbox: (taskId, { seen }) => session.read((sql) => itemsOf(sql, taskId, seen)),
    leased: (taskId, { seen }) =>
      session.read((sql) => {
        const row = sql.get<Row>("SELECT * FROM tasks WHERE id = :id AND state = 'leased'", { id: taskId });
        return row && { task: toTask(row), items: itemsOf(sql, taskId, seen) };
      }),
    rest: ({ taskId, fence }, { reason, inboxSeen }) =>
      session.write((sql) => {
        const leased = "SELECT * FROM tasks WHERE id = :id AND fence = :fence AND state = 'leased'";
        const row = sql.get<Row>(leased, { id: taskId, fence });
        if (row === undefined) return "lost";
        const isUnread =
          row.orders_at_rest === null ? itemsOf(sql, taskId, inboxSeen).length > 0 : row.orders_at_rest !== row.orders;
        sql.run(asking("pause_reason = coalesce(pause_reason, :reason), orders_at_rest = NULL"), {
          id: taskId,
          reason: isUnread ? null : reason,
        });
        return isUnread ? "unread" : "resting";
      }),
    hold: ({ holder, expiresAt }) => session.write((sql) => void sql.run(HOLD, { id: holder, expires_at: expiresAt })),
    adopt: ({ holder, now }) =>
      session.write((sql) => {
        const adopted = sql.all<Positioned>(ADOPT, { holder, now });
        sql.run("DELETE FROM task_holders WHERE id <> :holder AND expires_at <= :now", { holder, now });
        return inOrder(adopted);
      }),
    leasedTo: (runnerId) => session.read((sql) => sql.all<Row>(LEASED_TO, { runner_id: runnerId }).map(toTask)),
    claim: ({ taskId, claimId }) =>
      session.write((sql) => {
        const row = sql.get<Row>(CLAIM, { id: taskId, claim_id: claimId });
        return row && toTask(row);
      }),
    end: (taskId) =>
      session.write(
        (sql) => sql.run("UPDATE tasks SET state = 'done' WHERE id = :id AND state <> 'done'", { id: taskId }) > 0,
      ),
    undeliverable: ({ maxAttempts }) =>
      session.read((sql) => {
        return sql.all<Row>(UNDELIVERABLE, { max: maxAttempts }).map(toTask);
      }),
    discard: ({ taskId, fence }) =>
      session.write((sql) => {
        const text = "UPDATE tasks SET state = 'done' WHERE id = :id AND fence = :fence AND state = 'waiting'";
        return sql.run(text, { id: taskId, fence }) > 0;
      }),
    recover: ({ expiresAt }) =>
      session.write((sql) =>
        sql.run("UPDATE tasks SET expires_at = :expires_at WHERE state = 'leased'", { expires_at: expiresAt }),
      ),
    nextDue: ({ now }) => session.read((sql) => sql.get<{ due: number | null }>(NEXT_DUE, { now })?.due ?? undefined),
    counts: () =>
      session.read((sql) => {
        const row = sql.get<{ waiting: number; paused: number; leased: number; oldest: number | null }>(COUNTS);
        const { waiting = 0, paused = 0, leased = 0, oldest } = row ?? {};
        return { waiting, paused, leased, oldestWaitingAt: oldest ?? undefined };
      }),
  };
}

function isIn(state: "waiting" | "done", sql: Sql, { taskId, fence }: LeaseKey): boolean {
  const text = "SELECT 1 FROM tasks WHERE id = :id AND fence = :fence AND state = :state";
  return sql.get(text, { id: taskId, fence, state }) !== undefined;
}

function itemsOf(sql: Sql, taskId: string, seen: number): QueuedItem[] {
  const text = "SELECT id, payload FROM task_inbox WHERE task_id = :id ORDER BY position LIMIT -1 OFFSET :seen";
  return sql.all<QueuedItem>(text, { id: taskId, seen }).map(({ id, payload }) => ({ id, payload }));
}

function stateOf(sql: Sql, taskId: string): "waiting" | "leased" | "done" | "unknown" {
  const row = sql.get<{ state: "waiting" | "leased" | "done" }>("SELECT state FROM tasks WHERE id = :id", {
    id: taskId,
  });
  return row?.state ?? "unknown";
}

type Positioned = Row & { readonly position: number };

/** RETURNING promises no order. */
function inOrder(rows: Positioned[]): QueuedTask[] {
  return rows.sort((a, b) => a.position - b.position).map(toTask);
}

function toTask(row: Row): QueuedTask {
  return {
    id: row.id,
    kind: row.kind,
    queue: row.queue,
    sessionId: row.session_id,
    org: row.org,
    payload: row.payload,
    createdAt: row.created_at,
    fence: row.fence,
    attempt: row.attempt,
    runnerId: row.runner_id,
    cancelReason: row.cancel_reason ?? undefined,
    pauseReason: row.pause_reason ?? undefined,
    lastFailure: row.last_failure,
    orders: row.orders,
    ...(row.orders_at_rest === row.orders && { atRest: true }),
  };
}
