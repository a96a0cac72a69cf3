import { AT_REST } from "@stigmer/engine/embedded";
import { StoreError } from "../errors.ts";
import { EXECUTION_CONTEXT, refusalOf } from "../execution-store.ts";
import type {
  AppendResult,
  ExecutionFilter,
  ExecutionRecord,
  ExecutionStore,
  StatusAppend,
  WriteState,
} from "../execution-store.ts";
import {
  clauses,
  type Condition,
  countRows,
  isUniqueViolation,
  type Listing,
  marksOf,
  PAGE,
  rarestFirst,
} from "./conditions.ts";
import type { Session, Sql } from "./sql.ts";

interface Row {
  id: string;
  org: string;
  name: string;
  labels: string;
  tags: string;
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
  ended: number;
  body: Uint8Array;
}

const SELECT = "SELECT executions.*, body FROM executions JOIN execution_bodies ON execution_id = id";

const INSERT = `
  INSERT INTO executions (id, org, name, labels, tags, session_id, agent_id, phase, error, started_at, completed_at, created_at, revision)
  VALUES (:id, :org, :name, :labels, :tags, :session_id, :agent_id, :phase, :error, :started_at, :completed_at, :created_at, 1)`;

/** Most changes of a run touch no column that has an index. */
const ADVANCE = `
  UPDATE executions SET revision = :revision, last_fence = :fence, last_sequence = :sequence,
    error = coalesce(:error, error), started_at = coalesce(:started_at, started_at),
    completed_at = coalesce(:completed_at, completed_at)
  WHERE id = :id`;

/** Apart, since an index of a column that is named is written, whatever becomes of the column. */
const SET_PHASE = "UPDATE executions SET phase = :phase WHERE id = :id";
const SET_ENDED = "UPDATE executions SET ended = 1 WHERE id = :id";

/** A task's `TaskPlace`. */
const PLACE = `
  CASE WHEN state = 'leased' THEN 'held' WHEN state = 'waiting' AND cancel_reason IS NOT NULL THEN 'ending'
    WHEN state = 'waiting' AND pause_reason IS NOT NULL THEN 'resting' WHEN state = 'waiting' THEN 'waiting'
    ELSE 'over' END`;

const WRITE_STATE = `
  SELECT revision, phase, ended, last_fence AS lastFence, last_sequence AS lastSequence,
    coalesce(fence, 0) AS taskFence, ${PLACE} AS taskPlace
  FROM executions LEFT JOIN tasks ON tasks.id = executions.id WHERE executions.id = :id`;

const MISPLACED = `
  SELECT executions.id AS id, ${PLACE} AS place
  FROM executions INDEXED BY executions_live JOIN tasks ON tasks.id = executions.id
  WHERE ended = 0 AND ((phase NOT IN (:one, :other) AND place = 'resting') OR (phase IN (:one, :other) AND place = 'waiting'))
  ORDER BY executions.created_at, executions.id`;

/** One that waits under its fence of before was lost by who says so; nobody is to go on with it either. */
const COME_TO_REST = `
  UPDATE tasks SET orders_at_rest = iif(state = 'leased', orders, NULL),
    pause_reason = coalesce(pause_reason, iif(state = 'waiting', :at_rest, NULL))
  WHERE id = :id AND state <> 'done'`;

const APPEND_DELTA = "INSERT INTO execution_deltas (execution_id, revision, delta) VALUES (:id, :revision, :delta)";

const SAVE_SNAPSHOT = `
  INSERT INTO execution_snapshots (execution_id, revision, status) VALUES (:id, :revision, :status)
  ON CONFLICT (execution_id) DO UPDATE SET revision = excluded.revision, status = excluded.status`;

export function createExecutionStore(session: Session): ExecutionStore {
  return {
    insert: (execution) =>
      session.write((sql) => {
        const { id, org, name, phase, error, body, snapshot } = execution;
        try {
          sql.run(INSERT, {
            id,
            org,
            name,
            phase,
            error,
            labels: JSON.stringify(execution.labels),
            tags: JSON.stringify(execution.tags),
            session_id: execution.sessionId,
            agent_id: execution.agentId,
            started_at: execution.startedAt,
            completed_at: execution.completedAt,
            created_at: execution.createdAt,
          });
        } catch (cause) {
          if (!isUniqueViolation(cause)) throw cause;
          throw new StoreError("already-exists", `AgentExecution ${id} exists already.`, { cause });
        }
        sql.run("INSERT INTO execution_bodies (execution_id, body) VALUES (:id, :body)", { id, body });
        sql.run(SAVE_SNAPSHOT, { id, revision: 1, status: snapshot });
      }),
    get: (id) => session.read((sql) => fromRow(sql.get<Row>(`${SELECT} WHERE id = :id`, { id }))),
    list: (filter, page) =>
      session.read((sql) => {
        const { from, conditions } = listingOf(sql, filter, "rows");
        const joined = `${from} CROSS JOIN execution_bodies ON execution_bodies.execution_id = listed.id`;
        const { text, parameters } = clauses({ from: joined, conditions }, page.after);
        const select = `SELECT ${from.includes("execution_marks") ? "executions" : "listed"}.*, body`;
        const rows = sql.all<Row>(`${select} ${text} ${PAGE}`, { ...parameters, limit: page.limit });
        return rows.flatMap((row) => fromRow(row) ?? []);
      }),
    count: (filter, limit) => session.read((sql) => countRows(sql, listingOf(sql, filter, "count"), limit)),
    revisions: (ids) =>
      session.read((sql) => {
        const text = "SELECT id, revision FROM executions WHERE id IN (SELECT value FROM json_each(:ids))";
        const rows = sql.all<{ id: string; revision: number }>(text, { ids: JSON.stringify(ids) });
        return new Map(rows.map(({ id, revision }) => [id, revision]));
      }),
    replaceBody: (id, { name, labels, tags, body }) =>
      session.write((sql) => {
        sql.run("UPDATE executions SET name = :name, labels = :labels, tags = :tags WHERE id = :id", {
          id,
          name,
          labels: JSON.stringify(labels),
          tags: JSON.stringify(tags),
        });
        sql.run("UPDATE execution_bodies SET body = :body WHERE execution_id = :id", { id, body });
      }),
    writeState: (id) => session.read((sql) => readWriteState(sql, id)),
    append: (change) => session.write((sql) => append(sql, change)),
    snapshot: (id) =>
      session.read((sql) =>
        sql.get("SELECT revision, status FROM execution_snapshots WHERE execution_id = :id", { id }),
      ),
    orphans: () =>
      session.read((sql) =>
        sql
          .all<{ id: string }>(
            `SELECT id FROM executions INDEXED BY executions_live WHERE ended = 0
               AND NOT EXISTS (SELECT 1 FROM tasks WHERE tasks.id = executions.id AND state <> 'done')
             ORDER BY created_at, id`,
          )
          .map(({ id }) => id),
      ),
    misplaced: ([one, other]) =>
      session.read((sql) => sql.all<{ id: string }>(MISPLACED, { one, other }).map(({ id }) => id)),
    log: (id, afterRevision) =>
      session.read((sql) =>
        sql.all(
          "SELECT revision, delta FROM execution_deltas WHERE execution_id = :id AND revision > :after ORDER BY revision",
          { id, after: afterRevision },
        ),
      ),
    delete: (id) =>
      session.write((sql) => {
        sql.run("DELETE FROM tasks WHERE id = :id", { id });
        deleteContexts(sql, id);
        return sql.run("DELETE FROM executions WHERE id = :id", { id }) > 0;
      }),
  };
}

/** What decides whether something is written for a run. */
export function readWriteState(sql: Sql, id: string): WriteState | undefined {
  const row = sql.get<Omit<WriteState, "ended"> & { ended: number }>(WRITE_STATE, { id });
  return row && { ...row, ended: row.ended === 1 };
}

function append(sql: Sql, change: StatusAppend): AppendResult {
  const { id, fence = 0, sequence = 0, summary = {}, ends = false } = change;
  const state = readWriteState(sql, id);
  const refusal = refusalOf(change, state);
  if (refusal || !state) return refusal ?? { kind: "missing" };

  const revision = state.revision + 1;
  const counted = fence > 0 && sequence > 0;
  sql.run(ADVANCE, {
    id,
    revision,
    fence: counted ? fence : state.lastFence,
    sequence: counted ? sequence : state.lastSequence,
    error: summary.error ?? null,
    started_at: summary.startedAt ?? null,
    completed_at: summary.completedAt ?? null,
  });
  if (summary.phase !== undefined && summary.phase !== state.phase) sql.run(SET_PHASE, { id, phase: summary.phase });
  if (change.rests) sql.run(COME_TO_REST, { id, at_rest: AT_REST });
  if (ends) {
    if (!state.ended) sql.run(SET_ENDED, { id });
    sql.run("DELETE FROM tool_calls WHERE execution_id = :id", { id });
    deleteContexts(sql, id);
  }
  if (change.snapshot) {
    sql.run("DELETE FROM execution_deltas WHERE execution_id = :id", { id });
    sql.run(SAVE_SNAPSHOT, { id, revision, status: change.snapshot });
  } else {
    sql.run(APPEND_DELTA, { id, revision, delta: change.delta });
  }
  return { kind: "appended", revision };
}

function deleteContexts(sql: Sql, executionId: string): void {
  const parameters = { kind: EXECUTION_CONTEXT, parent: executionId };
  sql.run("DELETE FROM resources WHERE kind = :kind AND parent_id = :parent AND parent_id <> ''", parameters);
}

/**
 * Where a list is read, so that what is read is what is shown: by one index that has the narrowest column and the list's order.
 * Named in the text, because SQLite knows no better by itself. To count, marks that say all need no rows.
 */
function listingOf(sql: Sql, filter: ExecutionFilter, purpose: "rows" | "count"): Listing {
  const { org, sessionId, agentId, phase, live = false } = filter;
  const ofOrg: Condition = org !== undefined && ["listed.org = :org", { org }];
  const others = (table: "listed" | "executions"): Condition[] => [
    sessionId !== undefined && [`${table}.session_id = :session_id`, { session_id: sessionId }],
    agentId !== undefined && [`${table}.agent_id = :agent_id`, { agent_id: agentId }],
    phase !== undefined && [`${table}.phase = :phase`, { phase }],
    live && [`${table}.ended = 0`, {}],
  ];
  const marks = marksOf(filter.tags, filter.labels);
  if (marks.length === 0) {
    const index = indexFor(filter);
    return { from: `executions AS listed INDEXED BY ${index}`, conditions: [ofOrg, ...others("listed")] };
  }
  const condition: Condition = org !== undefined && ["org = :org", { org }];
  const [first, ...further] = rarestFirst(sql, marks, { table: "execution_marks", condition });
  const held = others("executions");
  const joined = purpose === "rows" || held.some((one) => one !== false);
  const index = org === undefined ? "" : " INDEXED BY execution_marks_by_org";
  return {
    from: `execution_marks AS listed${index}${joined ? " CROSS JOIN executions ON executions.id = listed.id" : ""}`,
    conditions: [
      first !== undefined && [`listed.mark = ${first.text}`, first.parameters],
      ofOrg,
      ...held,
      ...further.map((mark): Condition => [
        `EXISTS (SELECT 1 FROM execution_marks AS also
           WHERE also.mark = ${mark.text} AND also.created_at = listed.created_at AND also.id = listed.id)`,
        mark.parameters,
      ]),
    ],
  };
}

function indexFor({ org, sessionId, agentId, phase, live = false }: ExecutionFilter): string {
  if (sessionId !== undefined) return live ? "executions_live" : "executions_by_session";
  if (agentId !== undefined) return "executions_by_agent";
  if (phase !== undefined) return org === undefined ? "executions_by_phase" : "executions_by_org_and_phase";
  return org === undefined ? "executions_by_creation" : "executions_by_org";
}

function fromRow(row: Row | undefined): ExecutionRecord | undefined {
  return (
    row && {
      id: row.id,
      org: row.org,
      name: row.name,
      labels: JSON.parse(row.labels) as Record<string, string>,
      tags: JSON.parse(row.tags) as string[],
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
      ended: row.ended === 1,
      body: row.body,
    }
  );
}
