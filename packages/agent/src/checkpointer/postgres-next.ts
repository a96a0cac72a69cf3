// LangGraph's checkpointer for Postgres puts whatever it is given. This is SQL of our own on its tables, by which a checkpoint is put only
// where it follows the latest one.
import { createHash } from "node:crypto";
import type pg from "pg";
import { conflictOn, type NextCheckpoint } from "./checkpoint-conflict.ts";

export interface PutNext extends NextCheckpoint {
  /** As LangGraph's checkpointer makes them for its table. */
  readonly checkpoint: object;
  readonly metadata: object;
  /** Rows of its table of values. */
  readonly blobs: readonly (readonly unknown[])[];
}

/** Stores all of it or nothing. Throws `AgentError` `checkpoint-conflict`. Repeated, it changes nothing. */
export async function putNext(pool: pg.Pool, schema: string, next: PutNext): Promise<void> {
  const sql = statements(schema);
  const { threadId, namespace, id, parentId, checkpoint, metadata } = next;
  const client = await pool.connect();
  try {
    // Who puts on the same graph at the same time comes after this, and sees what it has put. A number, so that it is one question.
    await client.query(`BEGIN; SELECT pg_advisory_xact_lock(${lockOf(schema, threadId, namespace)})`);
    for (const blob of next.blobs) await client.query(sql.putBlob, [...blob]);
    const put = [threadId, namespace, id, parentId ?? null, checkpoint, metadata];
    const { rowCount } = await client.query(sql.put, put);
    if (rowCount === 0) throw conflictOn(next);
    await client.query("COMMIT");
    client.release();
  } catch (error) {
    // Where the connection is broken this fails as well, and it is not used again.
    await client.query("ROLLBACK").then(
      () => client.release(),
      (broken: Error) => client.release(broken),
    );
    throw error;
  }
}

function lockOf(...parts: readonly string[]): bigint {
  const digest = createHash("sha256").update(JSON.stringify(parts)).digest();
  return digest.readBigInt64BE();
}

function statements(schema: string): { readonly putBlob: string; readonly put: string } {
  const [checkpoints, blobs] = ["checkpoints", "checkpoint_blobs"].map((table) => `"${schema}".${table}`);
  return {
    putBlob: `
      INSERT INTO ${blobs} (thread_id, checkpoint_ns, channel, version, type, blob) VALUES ($1, $2, $3, $4, $5, $6)
      ON CONFLICT (thread_id, checkpoint_ns, channel, version) DO NOTHING`,
    // `isNext`, as a condition.
    put: `
      INSERT INTO ${checkpoints} (thread_id, checkpoint_ns, checkpoint_id, parent_checkpoint_id, checkpoint, metadata)
      SELECT $1, $2, $3, $4::text, $5::jsonb, $6::jsonb
      FROM (SELECT max(checkpoint_id) AS id FROM ${checkpoints} WHERE thread_id = $1 AND checkpoint_ns = $2) AS latest
      WHERE CASE WHEN latest.id IS NULL THEN $2 <> '' OR $4::text IS NULL ELSE latest.id IN ($3, coalesce($4::text, $3)) END
      ON CONFLICT (thread_id, checkpoint_ns, checkpoint_id)
        DO UPDATE SET checkpoint = EXCLUDED.checkpoint, metadata = EXCLUDED.metadata`,
  };
}
