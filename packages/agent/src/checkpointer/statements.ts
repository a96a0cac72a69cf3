import type { DatabaseSync, StatementSync } from "node:sqlite";

/** The saver's SQL, prepared once per connection. */
export interface Statements {
  readonly latest: StatementSync;
  readonly one: StatementSync;
  readonly all: StatementSync;
  readonly channelsOf: StatementSync;
  readonly insertCheckpoint: StatementSync;
  readonly value: StatementSync;
  readonly insertValue: StatementSync;
  readonly writes: StatementSync;
  readonly insertWrite: StatementSync;
  readonly replaceWrite: StatementSync;
  readonly surplus: StatementSync;
  readonly prune: readonly StatementSync[];
  readonly hasSubGraphs: StatementSync;
  readonly dropFinished: readonly StatementSync[];
  readonly deleteThread: readonly StatementSync[];
}

const columns = `thread_id, checkpoint_ns, checkpoint_id, parent_checkpoint_id, type, checkpoint, metadata_type, metadata, channels`;

export function prepareStatements(database: DatabaseSync): Statements {
  const prepare = (sql: string): StatementSync => database.prepare(sql);
  return {
    latest: prepare(
      `SELECT ${columns} FROM checkpoints WHERE thread_id = ? AND checkpoint_ns = ? ORDER BY checkpoint_id DESC LIMIT 1`,
    ),
    one: prepare(`SELECT ${columns} FROM checkpoints WHERE thread_id = ? AND checkpoint_ns = ? AND checkpoint_id = ?`),
    all: prepare(
      `SELECT ${columns} FROM checkpoints
       WHERE (:thread IS NULL OR thread_id = :thread) AND (:ns IS NULL OR checkpoint_ns = :ns)
         AND (:id IS NULL OR checkpoint_id = :id) AND (:before IS NULL OR checkpoint_id < :before)
       ORDER BY checkpoint_id DESC`,
    ),
    channelsOf: prepare(
      `SELECT channels FROM checkpoints WHERE thread_id = ? AND checkpoint_ns = ? AND checkpoint_id = ?`,
    ),
    insertCheckpoint: prepare(`INSERT OR REPLACE INTO checkpoints (${columns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`),
    value: prepare(`SELECT base, type, value FROM channel_values WHERE id = ?`),
    insertValue: prepare(
      `INSERT INTO channel_values (thread_id, checkpoint_ns, base, type, value) VALUES (?, ?, ?, ?, ?)`,
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
    prune: [
      `DELETE FROM checkpoints WHERE thread_id = :thread AND checkpoint_ns = :ns AND checkpoint_id <= :last`,
      `DELETE FROM writes WHERE thread_id = :thread AND checkpoint_ns = :ns AND checkpoint_id <= :last`,
      `WITH RECURSIVE live (id) AS (
         SELECT c.value FROM checkpoints, json_each(checkpoints.channels) AS c
         WHERE thread_id = :thread AND checkpoint_ns = :ns AND :last IS NOT NULL
         UNION SELECT v.base FROM channel_values AS v JOIN live ON v.id = live.id WHERE v.base IS NOT NULL
       )
       DELETE FROM channel_values WHERE thread_id = :thread AND checkpoint_ns = :ns AND id NOT IN (SELECT id FROM live)`,
    ].map(prepare),
    // The commonest conversation has no sub-graphs: one look instead of three deletes.
    hasSubGraphs: prepare(`SELECT 1 FROM checkpoints WHERE thread_id = ? AND checkpoint_ns > '' LIMIT 1`),
    // Once the root graph has taken its next step, the sub-graphs of its earlier steps are done with.
    dropFinished: [
      `DELETE FROM channel_values WHERE thread_id = :thread AND checkpoint_ns IN (
         SELECT checkpoint_ns FROM checkpoints WHERE thread_id = :thread AND checkpoint_ns <> ''
         GROUP BY checkpoint_ns HAVING max(checkpoint_id) < :next)`,
      `DELETE FROM writes WHERE thread_id = :thread AND checkpoint_ns <> '' AND checkpoint_ns IN (
         SELECT checkpoint_ns FROM checkpoints WHERE thread_id = :thread AND checkpoint_ns <> ''
         GROUP BY checkpoint_ns HAVING max(checkpoint_id) < :next)`,
      `DELETE FROM checkpoints WHERE thread_id = :thread AND checkpoint_ns IN (
         SELECT checkpoint_ns FROM checkpoints WHERE thread_id = :thread AND checkpoint_ns <> ''
         GROUP BY checkpoint_ns HAVING max(checkpoint_id) < :next)`,
    ].map(prepare),
    deleteThread: ["checkpoints", "channel_values", "writes"].map((table) =>
      // Background tasks have threads of their own below it.
      prepare(`DELETE FROM ${table} WHERE thread_id = :thread OR (thread_id >= :below AND thread_id < :above)`),
    ),
  };
}
