import { AT_REST, type LeaseKey, type NewLease, type QueuedItem, type QueuedTask } from "@stigmer/engine/embedded";
import type { QueueStore, TaskKind } from "@stigmer/engine/embedded";
import type { Parameters, Session, Sql } from "./sql.ts";

interface Row {
  position: number;
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

interface ItemRow {
  item_id: string | null;
  item_payload: Uint8Array | null;
}

/** Of a lease, or of what it found instead. */
type LeasedRow = ((Row & { readonly items: number }) | { readonly id: null }) & { readonly more: boolean };

const COLUMN_NAMES = [
  "position",
  "id",
  "kind",
  "queue",
  "session_id",
  "org",
  "payload",
  "created_at",
  "fence",
  "attempt",
  "runner_id",
  "cancel_reason",
  "pause_reason",
  "last_failure",
  "orders",
  "orders_at_rest",
];
const COLUMNS = COLUMN_NAMES.map((name) => `tasks.${name}`).join(", ");

/** What `tasks_runnable` has: the words are the index's, so that it is used. */
const RUNNABLE = "state = 'waiting' AND cancel_reason IS NULL AND pause_reason IS NULL";

/**
 * The first few of each organization that may have more in work, from organization to organization by the index, however many
 * tasks each of them has. Few and not one, so that who leases at the same moment finds others. What waits behind a run of its
 * session is passed over by the sessions in work, where that is enough: a session may have many, and each look at its tasks costs.
 *
 * What is done stays done, and nothing comes before what is there: what a session's earlier tasks were when the statement
 * began still decides when the row is locked.
 */
const FIRST = `
  waiting (org) AS (
    SELECT min(org) FROM tasks WHERE queue = :queue AND ${RUNNABLE}
    UNION ALL
    SELECT (SELECT min(tasks.org) FROM tasks WHERE queue = :queue AND ${RUNNABLE} AND tasks.org > waiting.org)
    FROM waiting WHERE waiting.org IS NOT NULL
  ), standing AS MATERIALIZED (
    SELECT waiting.org, count(position) AS live,
      coalesce(array_agg(session_id) FILTER (WHERE session_id IS NOT NULL), '{}') AS busy
    FROM waiting LEFT JOIN tasks ON tasks.org = waiting.org AND state = 'leased'
    WHERE waiting.org IS NOT NULL GROUP BY waiting.org
  ), first AS MATERIALIZED (
    SELECT org, live, head.position FROM standing CROSS JOIN LATERAL (
      SELECT position FROM tasks AS candidate
      WHERE queue = :queue AND candidate.org = standing.org AND ${RUNNABLE} AND available_at <= :now
        AND attempt < :max_attempts AND (session_id = '' OR session_id <> ALL (busy) AND NOT EXISTS (
          SELECT 1 FROM tasks AS earlier
          WHERE earlier.session_id = candidate.session_id AND earlier.position < candidate.position
            AND earlier.state <> 'done'
        ))
      ORDER BY position LIMIT 8
    ) AS head
    WHERE org = '' OR :max_per_org::bigint IS NULL OR live < :max_per_org::bigint
  )`;

/** Whether an organization has no room for another one beside the leased. */
const FILLED = "leased.org <> '' AND first.org = leased.org AND live + 1 >= :max_per_org::bigint";

/**
 * Answers a row without an id when there was no task; and whether there was one that somebody else had locked, or that is
 * deliverable beside the leased one.
 */
const leasing = (others: "SKIP LOCKED" | ""): string => `
  WITH RECURSIVE ${FIRST}, chosen AS (
    SELECT candidate.position FROM first JOIN tasks AS candidate ON candidate.position = first.position
    WHERE ${RUNNABLE} AND available_at <= :now AND attempt < :max_attempts
    ORDER BY live, candidate.position LIMIT 1 FOR NO KEY UPDATE OF candidate ${others}
  ), leased AS (
    UPDATE tasks SET state = 'leased', fence = fence + 1, attempt = attempt + 1, runner_id = :runner_id,
      expires_at = :expires_at, claim_id = '', orders_at_rest = NULL
    FROM chosen WHERE tasks.position = chosen.position RETURNING ${COLUMNS}, tasks.items
  )
  SELECT leased.*, EXISTS (
    SELECT 1 FROM first WHERE leased.id IS NULL OR (first.position <> leased.position AND (${FILLED}) IS NOT TRUE)
  ) AS more
  FROM (SELECT 1) AS one LEFT JOIN leased ON TRUE`;

const LEASE_FREE = leasing("SKIP LOCKED");
const LEASE_WAITING = leasing("");

/** How often a lease looks again after others were quicker. */
const MAX_LOOKS = 20;

/** The lease is current: named, and held by this runner. */
const CURRENT = "tasks.id = :id AND tasks.fence = :fence AND state = 'leased' AND runner_id = :runner_id";

/** Several rows are locked in their order, so that nobody waits for somebody who waits for them. */
const RENEW = `
  WITH current AS (
    SELECT position, progressed
    FROM tasks JOIN unnest(:ids::text[], :fences::bigint[], :progressed::int[]) AS lease (task_id, lease_fence, progressed)
      ON tasks.id = task_id AND tasks.fence = lease_fence
    WHERE state = 'leased' AND runner_id = :runner_id ORDER BY position FOR NO KEY UPDATE OF tasks
  )
  UPDATE tasks SET expires_at = :expires_at, attempt = CASE WHEN progressed = 1 THEN 1 ELSE attempt END
  FROM current WHERE tasks.position = current.position RETURNING ${COLUMNS}`;

const COMPLETE = `UPDATE tasks SET state = 'done' WHERE ${CURRENT}`;

const RELEASE = `
  UPDATE tasks SET state = 'waiting', available_at = :available_at, last_failure = coalesce(:failure, last_failure),
    attempt = attempt - CASE WHEN orders_at_rest = orders THEN 1 ELSE :uncounted END,
    pause_reason = coalesce(pause_reason, CASE WHEN orders_at_rest = orders THEN coalesce(:pause_reason, :at_rest)
      WHEN orders_at_rest IS NULL THEN :pause_reason END),
    orders_at_rest = NULL
  WHERE ${CURRENT}`;

const EXPIRE = `
  WITH due AS (
    SELECT position FROM tasks WHERE state = 'leased' AND expires_at <= :now ORDER BY position FOR NO KEY UPDATE
  )
  UPDATE tasks SET state = 'waiting', available_at = 0, last_failure = :failure,
    attempt = attempt - CASE WHEN orders_at_rest = orders THEN 1 ELSE 0 END,
    pause_reason = coalesce(pause_reason, CASE WHEN orders_at_rest = orders THEN :at_rest END), orders_at_rest = NULL
  FROM due WHERE tasks.position = due.position RETURNING ${COLUMNS}`;

const RECOVER = `
  WITH leased AS (SELECT position FROM tasks WHERE state = 'leased' ORDER BY position FOR NO KEY UPDATE)
  UPDATE tasks SET expires_at = :expires_at FROM leased WHERE tasks.position = leased.position`;

/** Something is asked of an open task; its holder has to hear of it. */
const asking = (change: string): string => `
  UPDATE tasks SET ${change}, orders = orders + (state = 'leased')::int
  WHERE id = :id AND state <> 'done' RETURNING state`;

const CANCEL = asking("cancel_reason = coalesce(cancel_reason, :reason)");

const PAUSE = asking("pause_reason = coalesce(pause_reason, :reason)");

const RESUME = asking("pause_reason = NULL");

/** The row counts its items, since what another statement put into the inbox meanwhile is seen in a row alone. */
const REST = `
  WITH leased AS (
    SELECT position, CASE WHEN orders_at_rest IS NULL THEN items > :seen ELSE orders_at_rest <> orders END AS unread
    FROM tasks WHERE id = :id AND fence = :fence AND state = 'leased' FOR NO KEY UPDATE
  )
  UPDATE tasks SET orders = orders + 1, orders_at_rest = NULL,
    pause_reason = CASE WHEN unread THEN pause_reason ELSE coalesce(pause_reason, :reason) END
  FROM leased WHERE tasks.position = leased.position RETURNING unread`;

/** A row for each item, and one without an item when there is none. */
const LEASED = `
  SELECT ${COLUMNS}, item.id AS item_id, item.payload AS item_payload FROM tasks
    LEFT JOIN LATERAL (SELECT * FROM task_inbox WHERE task_id = tasks.id ORDER BY position OFFSET :seen) AS item ON TRUE
  WHERE tasks.id = :id AND state = 'leased' ORDER BY item.position`;

const HOLD = `
  INSERT INTO task_holders (id, expires_at) VALUES (:id, :expires_at)
  ON CONFLICT (id) DO UPDATE SET expires_at = excluded.expires_at`;

/** Who takes a holder's row away takes its leases over: nobody else sees the row then. */
const ADOPT = `
  WITH gone AS (
    DELETE FROM task_holders WHERE id <> :holder AND expires_at <= :now RETURNING id
  ), held AS (
    SELECT position FROM tasks WHERE state = 'leased' AND runner_id IN (SELECT id FROM gone)
    ORDER BY position FOR NO KEY UPDATE OF tasks
  )
  UPDATE tasks SET runner_id = :holder FROM held WHERE tasks.position = held.position RETURNING ${COLUMNS}`;

/** Items come in one after the other: who has seen the first of an inbox has seen what will stay the first. */
const DELIVER = `
  WITH open AS (SELECT id, state FROM tasks WHERE id = :id AND state <> 'done' FOR NO KEY UPDATE), added AS (
    INSERT INTO task_inbox (task_id, id, payload) SELECT id, :item, :payload::bytea FROM open
    ON CONFLICT (task_id, id) DO NOTHING
  )
  SELECT state FROM open`;

/** What SET reads are the values of before. */
const CLAIM = `
  UPDATE tasks SET fence = fence + (claim_id <> :claim_id)::int, claim_id = :claim_id
  WHERE id = :id AND state = 'leased' RETURNING ${COLUMNS}`;

const NEXT_DUE = `
  SELECT least(
    (SELECT min(expires_at) FROM tasks WHERE state = 'leased'),
    (SELECT min(available_at) FROM tasks WHERE state = 'waiting' AND available_at > :now AND available_at > 0 AND pause_reason IS NULL)
  ) AS due`;

/** Each half by an index of what few tasks are, however many wait. */
const UNDELIVERABLE = `
  SELECT ${COLUMNS} FROM tasks WHERE state = 'waiting' AND cancel_reason IS NOT NULL
  UNION SELECT ${COLUMNS} FROM tasks WHERE state = 'waiting' AND attempt > 0 AND attempt >= :max
  ORDER BY position`;

/** Each part by an index of its own: what waits may be much. */
const COUNTS = `
  SELECT (SELECT count(*) FROM tasks WHERE state = 'leased') AS leased,
    (SELECT count(*) FROM tasks WHERE state = 'waiting' AND pause_reason IS NOT NULL) AS paused,
    (SELECT count(*) FROM tasks WHERE state = 'waiting' AND pause_reason IS NULL) AS waiting,
    (SELECT min(created_at) FROM tasks WHERE state = 'waiting' AND pause_reason IS NULL) AS oldest`;

/** Runs work that sees what those before it stored, one at a time among all who lease from the database. */
export type InTurn = <T>(work: (sql: Sql) => Promise<T>) => Promise<T>;

/** The engine's queue as rows of the server's database, so that a run and its place in the queue are written together. */
export function createQueueStore(session: Session, inTurn: InTurn): QueueStore {
  return {
    lease: ({ queue, runnerId, now, leaseMs, maxAttempts, maxPerOrg }) => {
      const work = (sql: Sql): Promise<NewLease | undefined> =>
        lease(sql, {
          queue,
          now,
          runner_id: runnerId,
          expires_at: now + leaseMs,
          max_attempts: maxAttempts,
          max_per_org: maxPerOrg ?? null,
        });
      // Two that count at the same moment would together take one too many.
      return maxPerOrg === undefined ? session.write(work) : inTurn(work);
    },
    renew: ({ runnerId, leases, expiresAt }) =>
      session.write(async (sql) => {
        const rows = await sql.all<Row>(RENEW, {
          ids: leases.map(({ taskId }) => taskId),
          fences: leases.map(({ fence }) => fence),
          progressed: leases.map(({ progressed = false }) => Number(progressed)),
          runner_id: runnerId,
          expires_at: expiresAt,
        });
        const renewed = new Map(rows.map((row) => [row.id, toTask(row)]));
        return leases.flatMap(({ taskId, fence }) => {
          const task = renewed.get(taskId);
          return task?.fence === fence ? [task] : [];
        });
      }),
    complete: (lease, runnerId) =>
      session.write(async (sql) => {
        const parameters = { id: lease.taskId, fence: lease.fence, runner_id: runnerId };
        return (await sql.run(COMPLETE, parameters)) > 0 || isIn("done", sql, lease);
      }),
    release: (lease, { runnerId, counted, availableAt, failure, pauseReason }) =>
      session.write(async (sql) => {
        const released = await sql.run(RELEASE, {
          id: lease.taskId,
          fence: lease.fence,
          runner_id: runnerId,
          available_at: availableAt,
          uncounted: counted ? 0 : 1,
          failure: failure ?? null,
          pause_reason: pauseReason ?? null,
          at_rest: AT_REST,
        });
        return released > 0 || isIn("waiting", sql, lease);
      }),
    expire: ({ now, failure }) =>
      session.write(async (sql) => inOrder(await sql.all<Row>(EXPIRE, { now, failure, at_rest: AT_REST }))),
    requestCancel: (taskId, reason) => session.write((sql) => changed(sql, CANCEL, { id: taskId, reason })),
    pause: (taskId, reason) => session.write((sql) => changed(sql, PAUSE, { id: taskId, reason })),
    resume: (taskId) => session.write((sql) => changed(sql, RESUME, { id: taskId })),
    deliver: (taskId, item) =>
      session.write((sql) => changed(sql, DELIVER, { id: taskId, item: item.id, payload: item.payload })),
    inbox: (taskId, { seen }) =>
      session.read((sql) =>
        sql.all<QueuedItem>("SELECT id, payload FROM task_inbox WHERE task_id = :id ORDER BY position OFFSET :seen", {
          id: taskId,
          seen,
        }),
      ),
    leased: (taskId, { seen }) =>
      session.read(async (sql) => {
        const rows = await sql.all<Row & ItemRow>(LEASED, { id: taskId, seen });
        const items = rows.flatMap(({ item_id: id, item_payload: payload }) =>
          id === null || payload === null ? [] : [{ id, payload }],
        );
        return rows[0] && { task: toTask(rows[0]), items };
      }),
    rest: ({ taskId, fence }, { reason, inboxSeen }) =>
      session.write(async (sql) => {
        const row = await sql.get<{ unread: boolean }>(REST, { id: taskId, fence, reason, seen: inboxSeen });
        if (!row) return "lost";
        return row.unread ? "unread" : "resting";
      }),
    hold: ({ holder, expiresAt }) =>
      session.write(async (sql) => void (await sql.run(HOLD, { id: holder, expires_at: expiresAt }))),
    adopt: ({ holder, now }) => session.write(async (sql) => inOrder(await sql.all<Row>(ADOPT, { holder, now }))),
    leasedTo: (runnerId) =>
      session.read(async (sql) => {
        const text = `SELECT ${COLUMNS} FROM tasks WHERE state = 'leased' AND runner_id = :runner_id ORDER BY position`;
        return (await sql.all<Row>(text, { runner_id: runnerId })).map(toTask);
      }),
    claim: ({ taskId, claimId }) =>
      session.write(async (sql) => {
        const row = await sql.get<Row>(CLAIM, { id: taskId, claim_id: claimId });
        return row && toTask(row);
      }),
    end: (taskId) =>
      session.write(
        async (sql) =>
          (await sql.run("UPDATE tasks SET state = 'done' WHERE id = :id AND state <> 'done'", { id: taskId })) > 0,
      ),
    undeliverable: ({ maxAttempts }) =>
      session.read(async (sql) => {
        return (await sql.all<Row>(UNDELIVERABLE, { max: maxAttempts })).map(toTask);
      }),
    discard: ({ taskId, fence }) =>
      session.write(async (sql) => {
        const text = "UPDATE tasks SET state = 'done' WHERE id = :id AND fence = :fence AND state = 'waiting'";
        return (await sql.run(text, { id: taskId, fence })) > 0;
      }),
    recover: ({ expiresAt }) => session.write((sql) => sql.run(RECOVER, { expires_at: expiresAt })),
    nextDue: ({ now }) =>
      session.read(async (sql) => (await sql.get<{ due: number | null }>(NEXT_DUE, { now }))?.due ?? undefined),
    counts: () =>
      session.read(async (sql) => {
        const row = await sql.get<{ waiting: number; paused: number; leased: number; oldest: number | null }>(COUNTS);
        const { waiting = 0, paused = 0, leased = 0, oldest } = row ?? {};
        return { waiting, paused, leased, oldestWaitingAt: oldest ?? undefined };
      }),
  };
}

/**
 * A locked task is passed over: most are being leased. But whoever has it locked may only be looking at it, or changing
 * something else of it; so nobody is told that there is none before those were waited for.
 */
async function lease(sql: Sql, parameters: Parameters): Promise<NewLease | undefined> {
  for (let look = 0; look < MAX_LOOKS; look++) {
    const text = look === 0 ? LEASE_FREE : LEASE_WAITING;
    const row = await sql.get<LeasedRow>(text, parameters);
    if (row && row.id !== null) return { ...toTask(row), isLast: !row.more, items: row.items };
    if (row?.more !== true) return undefined;
  }
  return undefined;
}

async function isIn(state: "waiting" | "done", sql: Sql, { taskId, fence }: LeaseKey): Promise<boolean> {
  const text = "SELECT 1 FROM tasks WHERE id = :id AND fence = :fence AND state = :state";
  return (await sql.get(text, { id: taskId, fence, state })) !== undefined;
}

type State = "waiting" | "leased" | "done" | "unknown";

/** The state that the task is in after a change that does not touch what is done. */
async function changed(sql: Sql, text: string, parameters: Parameters & { readonly id: string }): Promise<State> {
  const row =
    (await sql.get<{ state: State }>(text, parameters)) ??
    (await sql.get<{ state: State }>("SELECT state FROM tasks WHERE id = :id", { id: parameters.id }));
  return row?.state ?? "unknown";
}

/** RETURNING promises no order. */
function inOrder(rows: Row[]): QueuedTask[] {
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
