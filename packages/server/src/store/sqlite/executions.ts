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
  countAll,
  inOrder,
  isUniqueViolation,
  type Listings,
  marksOf,
  PAGE,
  rarestFirst,
} from "./conditions.ts";
import type { Session, Sql } from "./sql.ts";
import { INDEXED, inParts, tailOf } from "./tail.ts";

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

/** Joins the newest change in a run's log; what a snapshot has taken in stands in the run's own row. */
const withLatest = (run: string): string => `
  LEFT JOIN execution_deltas AS log ON log.place = (
    SELECT place FROM execution_deltas AS change WHERE change.execution = ${run}.position ORDER BY change.revision DESC LIMIT 1
  )`;

/** What stands before FROM, for a table or its alias, and what joins it. */
const columnsOf = (run: string): string => `
  ${run}.id, ${run}.org, name, labels, tags, session_id, agent_id, phase, error, started_at, completed_at, ${run}.created_at,
  coalesce(log.revision, ${run}.revision) AS revision, coalesce(log.fence, last_fence) AS last_fence,
  coalesce(log.sequence, last_sequence) AS last_sequence, ended, body`;
const joinsOf = (run: string): string => `
  CROSS JOIN execution_bodies AS whole ON whole.execution = ${run}.position ${withLatest(run)}`;

const SELECT = `SELECT ${columnsOf("executions")} FROM executions ${joinsOf("executions")} WHERE id = :id`;

const REVISIONS = `
  SELECT id, coalesce((SELECT max(log.revision) FROM execution_deltas AS log WHERE execution = position), revision) AS revision
  FROM executions
  WHERE id IN (SELECT value FROM json_each(:ids))`;

const INSERT = `
  INSERT INTO executions (id, org, name, labels, tags, session_id, agent_id, phase, error, started_at, completed_at, created_at, revision)
  VALUES (:id, :org, :name, :labels, :tags, :session_id, :agent_id, :phase, :error, :started_at, :completed_at, :created_at, 1)`;

const REPLACE_BODY = `
  UPDATE execution_bodies SET body = :body WHERE execution = (SELECT position FROM executions WHERE id = :id)`;

const INSERT_BODY = `
  INSERT INTO execution_bodies (execution, body, first_status)
  SELECT position, :body, :status FROM executions WHERE id = :id`;

/** Touches no column that has an index. */
const ADVANCE = `
  UPDATE executions SET revision = :revision, last_fence = :fence, last_sequence = :sequence WHERE position = :position`;

const SUMMARIZE = `
  UPDATE executions SET error = coalesce(:error, error), started_at = coalesce(:started_at, started_at),
    completed_at = coalesce(:completed_at, completed_at)
  WHERE position = :position`;

/** Apart, since an index of a column that is named is written, whatever becomes of the column. */
const SET_PHASE = "UPDATE executions SET phase = :phase WHERE position = :position";
const SET_ENDED = "UPDATE executions SET ended = 1 WHERE position = :position";

/** A task's `TaskPlace`. */
const PLACE = `
  CASE WHEN state = 'leased' THEN 'held' WHEN state = 'waiting' AND cancel_reason IS NOT NULL THEN 'ending'
    WHEN state = 'waiting' AND pause_reason IS NOT NULL THEN 'resting' WHEN state = 'waiting' THEN 'waiting'
    ELSE 'over' END`;

const WRITE_STATE = `
  SELECT executions.position AS position, coalesce(log.revision, executions.revision) AS revision, phase, ended,
    coalesce(log.fence, last_fence) AS lastFence, coalesce(log.sequence, last_sequence) AS lastSequence,
    coalesce(tasks.fence, 0) AS taskFence, ${PLACE} AS taskPlace
  FROM executions LEFT JOIN tasks ON tasks.id = executions.id ${withLatest("executions")}
  WHERE executions.id = :id`;

/** Those that have not ended. */
const live = (columns: string): string => `
  SELECT ${columns} FROM executions INDEXED BY executions_live WHERE ${INDEXED} AND ended = 0
  UNION ALL SELECT ${columns} FROM executions NOT INDEXED WHERE ${tailOf("executions")} AND ended = 0`;

const ORPHANS = `
  SELECT id FROM (${live("id, created_at")}) AS run
  WHERE NOT EXISTS (SELECT 1 FROM tasks WHERE tasks.id = run.id AND state <> 'done') ORDER BY created_at, id`;

const MISPLACED = `
  SELECT run.id AS id, ${PLACE} AS place
  FROM (${live("id, created_at, phase")}) AS run CROSS JOIN tasks ON tasks.id = run.id
  WHERE (phase NOT IN (:one, :other) AND place = 'resting') OR (phase IN (:one, :other) AND place = 'waiting')
  ORDER BY run.created_at, run.id`;

/** One that waits under its fence of before was lost by who says so; nobody is to go on with it either. */
const COME_TO_REST = `
  UPDATE tasks SET orders_at_rest = iif(state = 'leased', orders, NULL),
    pause_reason = coalesce(pause_reason, iif(state = 'waiting', :at_rest, NULL))
  WHERE id = :id AND state <> 'done'`;

const END_LEASE = `
  UPDATE tasks SET state = 'done'
  WHERE id = :id AND fence = :fence AND state = 'leased' AND runner_id = :runner_id
    AND NOT EXISTS (SELECT 1 FROM task_inbox WHERE task_id = :id)`;

const APPEND_DELTA = `
  INSERT INTO execution_deltas (execution, revision, fence, sequence, delta)
  VALUES (:position, :revision, :fence, :sequence, :delta)`;

const LOG = `
  SELECT log.revision AS revision, delta FROM executions CROSS JOIN execution_deltas AS log
    ON execution = position AND log.revision > :after
  WHERE id = :id ORDER BY log.revision`;

const CLEAR_LOG = "DELETE FROM execution_deltas WHERE execution = :position";

const CONTEXT = "kind = :kind AND parent_id = :parent AND parent_id <> ''";
const DELETE_INDEXED_CONTEXTS = `DELETE FROM resources INDEXED BY resources_by_parent WHERE ${INDEXED} AND ${CONTEXT}`;
const DELETE_LATEST_CONTEXTS = `DELETE FROM resources NOT INDEXED WHERE ${tailOf("resources")} AND ${CONTEXT}`;

const SAVE_SNAPSHOT = `
  INSERT INTO execution_snapshots (execution, revision, status) VALUES (:position, :revision, :status)
  ON CONFLICT (execution) DO UPDATE SET revision = excluded.revision, status = excluded.status`;

const SNAPSHOT = `
  SELECT coalesce(saved.revision, 1) AS revision, coalesce(status, first_status) AS status
  FROM executions CROSS JOIN execution_bodies AS body ON body.execution = position
    LEFT JOIN execution_snapshots AS saved ON saved.execution = position
  WHERE id = :id`;

export function createExecutionStore(session: Session): ExecutionStore {
  return {
    keepsLogs: true,
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
        sql.run(INSERT_BODY, { id, body, status: snapshot });
      }),
    get: (id) => session.read((sql) => fromRow(sql.get<Row>(SELECT, { id }))),
    list: (filter, page) =>
      session.read((sql) => {
        const parts = listingsOf(sql, filter, "rows").map(({ from, conditions }) => {
          const run = from.includes("execution_marks") ? "executions" : "listed";
          const { text, parameters } = clauses({ from: from + joinsOf(run), conditions }, page.after);
          const rows = sql.all<Row>(`SELECT ${columnsOf(run)} ${text} ${PAGE}`, { ...parameters, limit: page.limit });
          return rows.flatMap((row) => fromRow(row) ?? []);
        });
        return inOrder(parts, page.limit);
      }),
    count: (filter, limit) => session.read((sql) => countAll(sql, listingsOf(sql, filter, "count"), limit)),
    revisions: (ids) =>
      session.read((sql) => {
        const rows = sql.all<{ id: string; revision: number }>(REVISIONS, { ids: JSON.stringify(ids) });
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
        sql.run(REPLACE_BODY, { id, body });
      }),
    writeState: (id) => session.read((sql) => readWriteState(sql, id)),
    append: (change) => session.write((sql) => append(sql, change), { passing: change.passing }),
    snapshot: (id) => session.read((sql) => sql.get(SNAPSHOT, { id })),
    orphans: () => session.read((sql) => sql.all<{ id: string }>(ORPHANS).map(({ id }) => id)),
    misplaced: ([one, other]) =>
      session.read((sql) => sql.all<{ id: string }>(MISPLACED, { one, other }).map(({ id }) => id)),
    log: (id, afterRevision) => session.read((sql) => sql.all(LOG, { id, after: afterRevision })),
    delete: (id) =>
      session.write((sql) => {
        sql.run("DELETE FROM tasks WHERE id = :id", { id });
        deleteContexts(sql, id);
        return sql.run("DELETE FROM executions WHERE id = :id", { id }) > 0;
      }),
  };
}

interface Placed extends WriteState {
  readonly position: number;
}

/** What decides whether something is written for a run. */
export function readWriteState(sql: Sql, id: string): WriteState | undefined {
  return readPlaced(sql, id);
}

function readPlaced(sql: Sql, id: string): Placed | undefined {
  const row = sql.get<Omit<Placed, "ended"> & { ended: number }>(WRITE_STATE, { id });
  return row && { ...row, ended: row.ended === 1 };
}

function append(sql: Sql, change: StatusAppend): AppendResult {
  const { id, fence = 0, sequence = 0, summary = {}, ends = false } = change;
  const state = readPlaced(sql, id);
  const refusal = refusalOf(change, state);
  if (refusal || !state) return refusal ?? { kind: "missing" };

  const { position } = state;
  const counted = fence > 0 && sequence > 0;
  const reached = {
    position,
    revision: state.revision + 1,
    fence: counted ? fence : state.lastFence,
    sequence: counted ? sequence : state.lastSequence,
  };
  const { error = null, startedAt: started_at = null, completedAt: completed_at = null } = summary;
  if (error !== null || started_at !== null || completed_at !== null) {
    sql.run(SUMMARIZE, { position, error, started_at, completed_at });
  }
  if (summary.phase !== undefined && summary.phase !== state.phase) {
    sql.run(SET_PHASE, { position, phase: summary.phase });
  }
  if (change.rests) sql.run(COME_TO_REST, { id, at_rest: AT_REST });
  if (ends) {
    if (!state.ended) sql.run(SET_ENDED, { position });
    sql.run("DELETE FROM tool_calls WHERE execution_id = :id", { id });
    deleteContexts(sql, id);
  }
  if (change.snapshot) {
    sql.run(CLEAR_LOG, { position });
    sql.run(ADVANCE, reached);
    sql.run(SAVE_SNAPSHOT, { position, revision: reached.revision, status: change.snapshot });
  } else {
    sql.run(APPEND_DELTA, { ...reached, delta: change.delta });
  }
  const { endsLeaseOf: runner_id } = change;
  const leaseEnded = ends && runner_id !== undefined && sql.run(END_LEASE, { id, fence, runner_id }) > 0;
  return { kind: "appended", revision: reached.revision, ...(leaseEnded && { leaseEnded }) };
}

function deleteContexts(sql: Sql, executionId: string): void {
  const parameters = { kind: EXECUTION_CONTEXT, parent: executionId };
  sql.run(DELETE_INDEXED_CONTEXTS, parameters);
  sql.run(DELETE_LATEST_CONTEXTS, parameters);
}

/**
 * Where a list is read, so that what is read is what is shown: by one index that has the narrowest column and the list's order.
 * Named in the text, because SQLite knows no better by itself. To count, marks that say all need no rows.
 */
function listingsOf(sql: Sql, filter: ExecutionFilter, purpose: "rows" | "count"): Listings {
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
    const conditions = [ofOrg, ...others("listed")];
    return inParts("executions", { index: indexFor(filter), conditions });
  }
  const condition: Condition = org !== undefined && ["org = :org", { org }];
  const [first, ...further] = rarestFirst(sql, marks, { table: "execution_marks", condition });
  const held = others("executions");
  const joined = purpose === "rows" || held.some((one) => one !== false);
  const index = org === undefined ? "" : " INDEXED BY execution_marks_by_org";
  const from = `execution_marks AS listed${index}${joined ? " CROSS JOIN executions ON executions.id = listed.id" : ""}`;
  return [
    {
      from,
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
    },
  ];
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
