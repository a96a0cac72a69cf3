import { randomBytes } from "node:crypto";
import pg from "pg";
import { createPostgresCheckpointer, type PostgresCheckpointer } from "../checkpointer/create-postgres-checkpointer.ts";

/** A schema of its own in the test's Postgres. */
export interface TestSchema extends AsyncDisposable {
  readonly url: string;
  readonly schema: string;
  open(keep?: number): Promise<PostgresCheckpointer>;
  query(sql: string, values?: unknown[]): Promise<Record<string, unknown>[]>;
}

export function postgresUrl(): string {
  const url = process.env["STIGMER_TEST_POSTGRES_URL"];
  if (!url) throw new Error("STIGMER_TEST_POSTGRES_URL is not set; it names the Postgres database that this test uses.");
  return url;
}

export async function openSchema(): Promise<TestSchema> {
  const url = postgresUrl();
  const schema = `agent_test_${randomBytes(6).toString("hex")}`;
  const pool = new pg.Pool({ connectionString: url, max: 2 });
  const opened: PostgresCheckpointer[] = [];
  return {
    url,
    schema,
    async open(keep) {
      const checkpointer = await createPostgresCheckpointer({ url, schema, keep });
      opened.push(checkpointer);
      return checkpointer;
    },
    query: async (sql, values) => (await pool.query(sql.replaceAll("SCHEMA", schema), values)).rows,
    async [Symbol.asyncDispose]() {
      for (const checkpointer of opened) await checkpointer.close();
      await pool.query(`DROP SCHEMA IF EXISTS ${schema} CASCADE`);
      await pool.end();
    },
  };
}
