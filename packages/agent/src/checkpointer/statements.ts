import type { DatabaseSync, StatementSync } from "node:sqlite";
import { valuesOf } from "./database.ts";

/** The saver's SQL, prepared once per connection. */
export interface Statements {
  readonly latest: StatementSync;
  readonly one: StatementSync;
  readonly all: StatementSync;
  readonly channelsOf: StatementSync;
  readonly latestId: StatementSync;
  readonly insertCheckpoint: StatementSync;
  readonly value: StatementSync;
  readonly newestValue: StatementSync;
  readonly insertValue: StatementSync;
  readonly dropReplaced: StatementSync;
  readonly writes: StatementSync;
  readonly insertWrite: StatementSync;
  readonly replaceWrite: StatementSync;
  readonly surplus: StatementSync;
  readonly prune: readonly StatementSync[];
  readonly hasSubGraphs: StatementSync;
  readonly dropFinished: readonly StatementSync[];
  readonly deleteThread: readonly StatementSync[];
}

// With the document, which is the last of the values: one read, so that no other process deletes it in between.
const rows = `
  SELECT c.thread_id, c.checkpoint_ns, c.checkpoint_id, c.channels, c.parent_checkpoint_id, c.checkpoint, c.metadata,
    d.type AS document_type, d.value AS document
  FROM checkpoints AS c LEFT JOIN channel_values AS d ON d.id = json_extract(c.channels, '$[#-1]')`;

const ofThread = "thread_id = :thread OR (thread_id >= :below AND thread_id < :above)";
const ofNamespace = "thread_id = :thread AND checkpoint_ns = :ns";
// Once the root graph has taken its next step, the sub-graphs of its earlier steps are done with.
const ofFinished = `thread_id = :thread AND checkpoint_ns IN (
  SELECT checkpoint_ns FROM checkpoints WHERE thread_id = :thread AND checkpoint_ns <> ''
  GROUP BY checkpoint_ns HAVING max(checkpoint_id) < :next)`;

export function prepareStatements(database: DatabaseSync): Statements {
  const prepare = (sql: string): StatementSync => database.prepare(sql);
  return {
    latest: prepare(`${rows} WHERE c.thread_id = ? AND c.checkpoint_ns = ? ORDER BY c.checkpoint_id DESC LIMIT 1`),
    one: prepare(`${rows} WHERE c.thread_id = ? AND c.checkpoint_ns = ? AND c.checkpoint_id = ?`),
    all: prepare(
      `${rows}
       WHERE (:thread IS NULL OR c.thread_id = :thread) AND (:ns IS NULL OR c.checkpoint_ns = :ns)
         AND (:id IS NULL OR c.checkpoint_id = :id) AND (:before IS NULL OR c.checkpoint_id < :before)
       ORDER BY c.checkpoint_id DESC`,
    ),
    channelsOf: prepare(
      `SELECT channels FROM checkpoints WHERE thread_id = ? AND checkpoint_ns = ? AND checkpoint_id = ?`,
    ),
    latestId: prepare(
      `SELECT checkpoint_id AS id FROM checkpoints WHERE thread_id = ? AND checkpoint_ns = ? ORDER BY checkpoint_id DESC LIMIT 1`,
    ),
    // The columns that are empty are of before version 4.
    insertCheckpoint: prepare(
      `INSERT OR REPLACE INTO checkpoints
         (thread_id, checkpoint_ns, checkpoint_id, type, checkpoint, metadata_type, metadata, channels)
       VALUES (?, ?, ?, '', x'', '', x'', ?)`,
    ),
    value: prepare(`SELECT base, type, value FROM channel_values WHERE id = ?`),
    newestValue: prepare(`SELECT max(id) AS id FROM channel_values`),
    insertValue: prepare(
      `INSERT INTO channel_values (id, thread_id, checkpoint_ns, base, type, value) VALUES (?, '', '', ?, ?, ?)`,
    ),
    // Of a checkpoint that was put again, what nothing refers to any more.
    dropReplaced: prepare(
      `WITH RECURSIVE replaced (id) AS (
         SELECT c.value FROM json_each(:channels) AS c WHERE c.type = 'integer'
         UNION SELECT v.base FROM channel_values AS v JOIN replaced ON v.id = replaced.id WHERE v.base IS NOT NULL
       )
       DELETE FROM channel_values WHERE id IN (SELECT id FROM replaced) AND id NOT IN (${valuesOf(ofNamespace)})`,
    ),
    writes: prepare(
      `SELECT task_id, channel, type, value FROM writes
       WHERE thread_id = ? AND checkpoint_ns = ? AND checkpoint_id = ? ORDER BY task_id, idx`,
    ),
    insertWrite: prepare(`INSERT OR IGNORE INTO writes VALUES (?, ?, ?, ?, ?, ?, ?, ?)`),
    replaceWrite: prepare(`INSERT OR REPLACE INTO writes VALUES (?, ?, ?, ?, ?, ?, ?, ?)`),
    // The newest checkpoint that is no longer kept, and how many there are in all.
    surplus: prepare(
      `SELECT checkpoint_id, (SELECT count(*) FROM checkpoints WHERE thread_id = :thread AND checkpoint_ns = :ns) AS total
       FROM checkpoints WHERE thread_id = :thread AND checkpoint_ns = :ns ORDER BY checkpoint_id DESC LIMIT 1 OFFSET :keep`,
    ),
    // First what only the oldest refer to: afterwards nobody would know of it.
    prune: [
      `DELETE FROM channel_values WHERE id IN (${valuesOf(`${ofNamespace} AND checkpoint_id <= :last`)})
         AND id NOT IN (${valuesOf(`${ofNamespace} AND checkpoint_id > :last`)})`,
      `DELETE FROM checkpoints WHERE ${ofNamespace} AND checkpoint_id <= :last`,
      `DELETE FROM writes WHERE ${ofNamespace} AND checkpoint_id <= :last`,
    ].map(prepare),
    // The commonest conversation has no sub-graphs: one look instead of three deletes.
    hasSubGraphs: prepare(`SELECT 1 FROM checkpoints WHERE thread_id = ? AND checkpoint_ns > '' LIMIT 1`),
    // The checkpoints last: the others are found by them.
    dropFinished: [
      `DELETE FROM channel_values WHERE id IN (${valuesOf(ofFinished)})`,
      `DELETE FROM writes WHERE checkpoint_ns <> '' AND ${ofFinished}`,
      `DELETE FROM checkpoints WHERE ${ofFinished}`,
    ].map(prepare),
    // Background tasks have threads of their own below it.
    deleteThread: [
      `DELETE FROM channel_values WHERE id IN (${valuesOf(`(${ofThread})`)})`,
      `DELETE FROM writes WHERE ${ofThread}`,
      `DELETE FROM checkpoints WHERE ${ofThread}`,
    ].map(prepare),
  };
}
