// LangGraph's checkpointer for Postgres keeps every step, each with the whole conversation. This is SQL of our own on its tables
// (checkpoints, checkpoint_blobs, checkpoint_writes).
import type pg from "pg";

export interface PruningOptions {
  readonly schema: string;
  readonly keep: number;
}

export interface Put {
  readonly thread: string;
  readonly namespace: string;
  /** The id of the checkpoint. */
  readonly newest: string;
}

/** Deletes what no run needs any more, now and then: most steps cost no query. */
export interface Pruning {
  /** Repeated, it does no harm. */
  afterPut(put: Put): Promise<void>;
  forget(thread: string): void;
}

/** What this process stored of a thread since it last looked. */
interface Stored {
  /** Checkpoints by namespace. */
  readonly counts: Map<string, number>;
  /** Sub-graphs may have left checkpoints. Assumed of a thread that was another process's. */
  hasSubGraphs: boolean;
}

/** Threads remembered at once. A forgotten one is looked at once more than needed. */
const capacity = 256;

export function createPruning(pool: pg.Pool, { schema, keep }: PruningOptions): Pruning {
  const sql = statements(schema);
  const kept = Math.max(1, keep);
  const threads = new Map<string, Stored>();

  const remember = (thread: string): Stored => {
    const stored = threads.get(thread) ?? { counts: new Map<string, number>(), hasSubGraphs: true };
    threads.delete(thread);
    threads.set(thread, stored);
    for (const oldest of threads.keys()) {
      if (threads.size <= capacity) break;
      threads.delete(oldest);
    }
    return stored;
  };

  return {
    async afterPut({ thread, namespace, newest }) {
      if (kept === Infinity) return;
      const stored = remember(thread);
      if (namespace !== "") stored.hasSubGraphs = true;
      else if (stored.hasSubGraphs) {
        // Once the root graph has taken its next step, the sub-graphs of its earlier steps are done with.
        await pool.query(sql.dropFinished, [thread, newest]);
        stored.hasSubGraphs = false;
        for (const ended of stored.counts.keys()) if (ended !== "") stored.counts.delete(ended);
      }
      const count = stored.counts.get(namespace);
      if (count === undefined || count >= kept) {
        await pool.query(sql.prune, [thread, namespace, kept]);
        stored.counts.set(namespace, 1);
      } else stored.counts.set(namespace, count + 1);
    },
    forget(thread) {
      threads.delete(thread);
    },
  };
}

/** Each is one statement, and so one transaction: no checkpoint is ever without its values. */
function statements(schema: string): { readonly dropFinished: string; readonly prune: string } {
  const [checkpoints, blobs, writes] = ["checkpoints", "checkpoint_blobs", "checkpoint_writes"].map(
    (table) => `"${schema}".${table}`,
  );
  return {
    dropFinished: `
      WITH finished AS (
        SELECT checkpoint_ns FROM ${checkpoints} WHERE thread_id = $1 AND checkpoint_ns <> ''
        GROUP BY checkpoint_ns HAVING max(checkpoint_id) < $2
      ), gone_writes AS (
        DELETE FROM ${writes} WHERE thread_id = $1 AND checkpoint_ns IN (SELECT checkpoint_ns FROM finished)
      ), gone_blobs AS (
        DELETE FROM ${blobs} WHERE thread_id = $1 AND checkpoint_ns IN (SELECT checkpoint_ns FROM finished)
      )
      DELETE FROM ${checkpoints} WHERE thread_id = $1 AND checkpoint_ns IN (SELECT checkpoint_ns FROM finished)`,
    prune: `
      WITH kept AS (
        SELECT checkpoint_id, checkpoint FROM ${checkpoints} WHERE thread_id = $1 AND checkpoint_ns = $2
        ORDER BY checkpoint_id DESC LIMIT $3
      ), gone_writes AS (
        DELETE FROM ${writes}
        WHERE thread_id = $1 AND checkpoint_ns = $2 AND checkpoint_id < (SELECT min(checkpoint_id) FROM kept)
      ), gone_blobs AS (
        DELETE FROM ${blobs} AS blob
        WHERE thread_id = $1 AND checkpoint_ns = $2
          AND NOT EXISTS (SELECT 1 FROM kept WHERE kept.checkpoint -> 'channel_versions' ->> blob.channel = blob.version)
      )
      DELETE FROM ${checkpoints}
      WHERE thread_id = $1 AND checkpoint_ns = $2 AND checkpoint_id < (SELECT min(checkpoint_id) FROM kept)`,
  };
}
