import { AT_REST } from "@stigmer/engine/embedded";
import { StoreError } from "../errors.ts";
import { refusalOf } from "../execution-store.ts";
import type {
  AppendResult,
  ExecutionFilter,
  ExecutionRecord,
  ExecutionStore,
  StatusAppend,
  StatusLogRow,
  StatusSnapshot,
  WriteState,
} from "../execution-store.ts";
import { conditions, countRows, markConditions, PAGE, type Condition } from "./conditions.ts";
import type { Parameters, Session, Sql } from "./sql.ts";
import { encodeLabels, encodeTags } from "./values.ts";

interface Row {
  id: string;
  org: string;
  name: string;
  labels: Record<string, string>;
  tags: string[];
  session_id: string;
  agent_id: string;
  phase: number;
  error: string;
  started_at: string;
  completed_at: string;
  created_at: number;
  revision: number;
  last_fence: number;
  last_sequence: number;
  ended: boolean;
  body: Uint8Array;
}

const SELECT = `
  SELECT id, org, name, labels, tags, session_id, agent_id, phase, error, started_at, completed_at, created_at, revision,
    last_fence, last_sequence, ended, body
  FROM executions JOIN execution_bodies ON execution_id = id`;

const INSERT = `
  WITH inserted AS (
    INSERT INTO executions (id, org, name, labels, tags, session_id, agent_id, phase, error, started_at, completed_at, created_at, revision)
    VALUES (:id, :org, :name, :labels, :tags, :session_id, :agent_id, :phase, :error, :started_at, :completed_at, :created_at, 1)
    ON CONFLICT DO NOTHING RETURNING id
  ), with_body AS (
    INSERT INTO execution_bodies (execution_id, body) SELECT id, :body::bytea FROM inserted
  )
  INSERT INTO execution_snapshots (execution_id, revision, status) SELECT id, 1, :snapshot::bytea FROM inserted`;

const REPLACE_BODY = `
  WITH changed AS (
    UPDATE executions SET name = :name, labels = :labels, tags = :tags WHERE id = :id RETURNING id
  )
  UPDATE execution_bodies SET body = :body FROM changed WHERE execution_id = changed.id`;

/** A task's `TaskPlace`. */
const PLACE = `
  CASE WHEN tasks.state = 'leased' THEN 'held' WHEN tasks.state = 'waiting' AND cancel_reason IS NOT NULL THEN 'ending'
    WHEN tasks.state = 'waiting' AND pause_reason IS NOT NULL THEN 'resting' WHEN tasks.state = 'waiting' THEN 'waiting'
    ELSE 'over' END`;

/** The columns of a `WriteState`. */
export const WRITE_STATE_COLUMNS: string = `
  revision, phase, ended, last_fence AS "lastFence", last_sequence AS "lastSequence",
    coalesce(tasks.fence, 0) AS "taskFence", ${PLACE} AS "taskPlace"`;

const WRITE_STATE = `
  SELECT ${WRITE_STATE_COLUMNS} FROM executions LEFT JOIN tasks ON tasks.id = executions.id WHERE executions.id = :id`;

const task = (lock: "SHARE" | "NO KEY UPDATE"): string =>
  `task AS MATERIALIZED (SELECT fence, ${PLACE} AS place FROM tasks WHERE id = :id FOR ${lock})`;

/** The run's task, which stays as it is until the statement is stored. No row when there is none. */
export const TASK: string = task("SHARE");

/** Whether the run's task is still as `stillParameters` says. */
export const TASK_STILL: string =
  "coalesce((SELECT fence FROM task), 0) = :task_fence AND coalesce((SELECT place FROM task), 'over') = :task_place";

/** Whether the run is still as it was when the change was decided; then the change is stored, else nothing is. */
const advance = (lockedTask: string): string => `
  WITH ${lockedTask}, advanced AS (
    UPDATE executions SET revision = :next_revision, last_fence = :next_fence, last_sequence = :next_sequence,
      ended = :next_ended, phase = coalesce(:next_phase, phase), error = coalesce(:next_error, error),
      started_at = coalesce(:next_started_at, started_at), completed_at = coalesce(:next_completed_at, completed_at)
    WHERE id = :id AND revision = :revision AND phase = :phase AND ended = :ended AND last_fence = :last_fence
      AND last_sequence = :last_sequence AND ${TASK_STILL}
    RETURNING id, revision
  )`;

const ADVANCE = advance(TASK);

/**
 * Takes the task along, locked for that from the start: of two who share it none could have it. One that waits under its fence of
 * before was lost by who says so; nobody is to go on with it either.
 */
const ADVANCE_TO_REST = `${advance(task("NO KEY UPDATE"))}, rested AS (
    UPDATE tasks SET orders_at_rest = CASE WHEN state = 'leased' THEN orders END,
      pause_reason = coalesce(pause_reason, CASE WHEN state = 'waiting' THEN :at_rest END)
    FROM advanced WHERE tasks.id = advanced.id AND state <> 'done'
  )`;

/**
 * As above. What the row counts is looked at once more in the row as it is locked, so that an item which came in meanwhile is seen.
 */
const ADVANCE_TO_END = `${advance(task("NO KEY UPDATE"))}, lease AS (
    UPDATE tasks SET state = 'done' FROM advanced
    WHERE tasks.id = advanced.id AND fence = :task_fence AND state = 'leased' AND runner_id = :runner_id AND items = 0
    RETURNING tasks.id
  )`;

const appending = (advanced: string): string => `${advanced}
  INSERT INTO execution_deltas (execution_id, revision, delta) SELECT id, revision, :delta::bytea FROM advanced`;

const compacting = (advanced: string): string => `${advanced}, dropped AS (
    DELETE FROM execution_deltas USING advanced WHERE execution_id = advanced.id
  )
  UPDATE execution_snapshots SET revision = advanced.revision, status = :snapshot
  FROM advanced WHERE execution_id = advanced.id`;

const [APPEND_DELTA, COMPACT] = [appending(ADVANCE), compacting(ADVANCE)];
const andLease = (text: string): string => `${text} RETURNING EXISTS (SELECT 1 FROM lease) AS "leaseEnded"`;
const [APPEND_WITH_LEASE, COMPACT_WITH_LEASE] = [
  andLease(appending(ADVANCE_TO_END)),
  andLease(compacting(ADVANCE_TO_END)),
];
const [APPEND_AT_REST, COMPACT_AT_REST] = [appending(ADVANCE_TO_REST), compacting(ADVANCE_TO_REST)];

const ORPHANS = `
  SELECT id FROM executions WHERE NOT ended
    AND NOT EXISTS (SELECT 1 FROM tasks WHERE tasks.id = executions.id AND state <> 'done')
  ORDER BY created_at, id`;

/** From those that are few: the tasks that rest, and the runs that say so. */
const MISPLACED = `
  SELECT id FROM (
    SELECT executions.id, executions.created_at FROM tasks JOIN executions ON executions.id = tasks.id
    WHERE state = 'waiting' AND pause_reason IS NOT NULL AND cancel_reason IS NULL AND NOT ended AND phase NOT IN (:one, :other)
    UNION ALL
    SELECT executions.id, executions.created_at FROM executions JOIN tasks ON tasks.id = executions.id
    WHERE NOT ended AND phase IN (:one, :other) AND state = 'waiting' AND pause_reason IS NULL AND cancel_reason IS NULL
  ) AS placed
  ORDER BY created_at, id`;

const DELETE = `
  WITH task AS (DELETE FROM tasks WHERE id = :id)
  DELETE FROM executions WHERE id = :id`;

export function createExecutionStore(session: Session): ExecutionStore {
  return {
    // Servers of two programs may share the database while they are upgraded one by one.
    keepsLogs: false,
    insert: (execution) =>
      session.write(async (sql) => {
        const { id, org, name, phase, error, body, snapshot } = execution;
        const inserted = await sql.run(INSERT, {
          id,
          org,
          name,
          phase,
          error,
          body,
          snapshot,
          labels: encodeLabels(execution.labels),
          tags: encodeTags(execution.tags),
          session_id: execution.sessionId,
          agent_id: execution.agentId,
          started_at: execution.startedAt,
          completed_at: execution.completedAt,
          created_at: execution.createdAt,
        });
        if (inserted === 0) throw new StoreError("already-exists", `AgentExecution ${id} exists already.`);
      }),
    get: (id) => session.read(async (sql) => fromRow(await sql.get<Row>(`${SELECT} WHERE id = :id`, { id }))),
    list: (filter, page) =>
      session.read(async (sql) => {
        const { where, parameters } = conditions(executionConditions(filter), page.after);
        const rows = await sql.all<Row>(`${SELECT} ${where} ${PAGE}`, { ...parameters, limit: page.limit });
        return rows.flatMap((row) => fromRow(row) ?? []);
      }),
    count: (filter, limit) =>
      session.read((sql) => countRows(sql, "executions", { list: executionConditions(filter), limit })),
    revisions: (ids) =>
      session.read(async (sql) => {
        const text = "SELECT id, revision FROM executions WHERE id = ANY (:ids::text[])";
        const rows = await sql.all<{ id: string; revision: number }>(text, { ids });
        return new Map(rows.map(({ id, revision }) => [id, revision]));
      }),
    replaceBody: (id, { name, labels, tags, body }) =>
      session.write(async (sql) => {
        await sql.run(REPLACE_BODY, { id, name, labels: encodeLabels(labels), tags: encodeTags(tags), body });
      }),
    writeState: (id) => session.read((sql) => readWriteState(sql, id)),
    append: (change) => session.write((sql) => append(sql, change)),
    snapshot: (id) =>
      session.read((sql) =>
        sql.get<StatusSnapshot>("SELECT revision, status FROM execution_snapshots WHERE execution_id = :id", { id }),
      ),
    orphans: () => session.read(async (sql) => (await sql.all<{ id: string }>(ORPHANS)).map(({ id }) => id)),
    misplaced: ([one, other]) =>
      session.read(async (sql) => (await sql.all<{ id: string }>(MISPLACED, { one, other })).map(({ id }) => id)),
    log: (id, afterRevision) =>
      session.read((sql) =>
        sql.all<StatusLogRow>(
          "SELECT revision, delta FROM execution_deltas WHERE execution_id = :id AND revision > :after ORDER BY revision",
          { id, after: afterRevision },
        ),
      ),
    delete: (id) => session.write(async (sql) => (await sql.run(DELETE, { id })) > 0),
  };
}

function readWriteState(sql: Sql, id: string): Promise<WriteState | undefined> {
  return sql.get<WriteState>(WRITE_STATE, { id });
}

/** How often something is decided anew because the run was changed by others before it was stored. */
const MAX_DECISIONS = 20;

/**
 * Decides, and stores what was decided when what it was decided by is still true; else decides again: two statements, and no
 * lock that outlives one.
 */
export async function decide<T>(executionId: string, attempt: () => Promise<T | "outdated">): Promise<T> {
  for (let count = 0; count < MAX_DECISIONS; count++) {
    const decided = await attempt();
    if (decided !== "outdated") return decided;
  }
  throw new StoreError("conflict", `AgentExecution ${executionId} is changed by others all the time: try again.`);
}

function append(sql: Sql, change: StatusAppend): Promise<AppendResult> {
  const { id, fence = 0, sequence = 0, summary = {}, delta, snapshot } = change;
  let { known } = change;
  return decide<AppendResult>(id, async () => {
    const seen = known;
    known = undefined;
    const state = seen ?? (await readWriteState(sql, id));
    const refusal = refusalOf(change, state);
    // What refuses may be over by now.
    if (refusal && seen) return "outdated";
    if (refusal || !state) return refusal ?? { kind: "missing" };
    const revision = state.revision + 1;
    const counted = fence > 0 && sequence > 0;
    const parameters: Parameters = {
      ...stillParameters(id, state),
      revision: state.revision,
      phase: state.phase,
      ended: state.ended,
      last_fence: state.lastFence,
      last_sequence: state.lastSequence,
      next_revision: revision,
      next_fence: counted ? fence : state.lastFence,
      next_sequence: counted ? sequence : state.lastSequence,
      next_ended: state.ended || change.ends === true,
      next_phase: summary.phase ?? null,
      next_error: summary.error ?? null,
      next_started_at: summary.startedAt ?? null,
      next_completed_at: summary.completedAt ?? null,
      ...(change.rests && { at_rest: AT_REST }),
    };
    const { rests, endsLeaseOf: runner_id } = change;
    const content: Parameters = snapshot ? { snapshot } : { delta };
    if (change.ends && fence > 0 && runner_id !== undefined) {
      const text = snapshot ? COMPACT_WITH_LEASE : APPEND_WITH_LEASE;
      const ended = await sql.get<{ leaseEnded: boolean }>(text, { ...parameters, ...content, runner_id });
      if (!ended) return "outdated";
      return { kind: "appended", revision, ...(ended.leaseEnded && { leaseEnded: true }) };
    }
    const [compact, append] = rests ? [COMPACT_AT_REST, APPEND_AT_REST] : [COMPACT, APPEND_DELTA];
    const stored = await sql.run(snapshot ? compact : append, { ...parameters, ...content });
    return stored > 0 ? { kind: "appended", revision } : "outdated";
  });
}

export function stillParameters(id: string, { taskFence, taskPlace }: WriteState): Parameters {
  return { id, task_fence: taskFence, task_place: taskPlace };
}

function executionConditions(filter: ExecutionFilter): Condition[] {
  return [
    filter.org !== undefined && ["org = :org", { org: filter.org }],
    filter.sessionId !== undefined && ["session_id = :session_id", { session_id: filter.sessionId }],
    filter.agentId !== undefined && ["agent_id = :agent_id", { agent_id: filter.agentId }],
    filter.phase !== undefined && ["phase = :phase", { phase: filter.phase }],
    filter.live === true && ["NOT ended", {}],
    ...markConditions(filter.tags, filter.labels),
  ];
}

function fromRow(row: Row | undefined): ExecutionRecord | undefined {
  return (
    row && {
      id: row.id,
      org: row.org,
      name: row.name,
      labels: row.labels,
      tags: row.tags,
      sessionId: row.session_id,
      agentId: row.agent_id,
      phase: row.phase,
      error: row.error,
      startedAt: row.started_at,
      completedAt: row.completed_at,
      createdAt: row.created_at,
      revision: row.revision,
      lastFence: row.last_fence,
      lastSequence: row.last_sequence,
      ended: row.ended,
      body: row.body,
    }
  );
}
