// Databases of a benchmark's own, and what is in them.
import { randomBytes } from "node:crypto";
import { Client } from "pg";
import { postgresUrl } from "./postgres-url.ts";

interface Database {
  readonly url: string;
  measure(): Promise<{ readonly rows: number; readonly bytes: number; readonly wal: number }>;
}

interface Databases extends AsyncDisposable {
  readonly store: Database;
  readonly checkpoints: Database;
}

export async function createDatabases(): Promise<Databases> {
  const ask = async (url: string, text: string): Promise<Record<string, unknown>[]> => {
    const client = new Client(url);
    await client.connect();
    return client.query<Record<string, unknown>>(text).then(
      ({ rows }) => client.end().then(() => rows),
      async (error: unknown) => {
        await client.end();
        throw error;
      },
    );
  };
  const names: string[] = [];
  const make = async (): Promise<Database> => {
    const name = `bench_${randomBytes(6).toString("hex")}`;
    await ask(postgresUrl(), `CREATE DATABASE ${name}`);
    names.push(name);
    const url = new URL(postgresUrl());
    url.pathname = `/${name}`;
    return {
      url: url.href,
      measure: async () => {
        const tables = await ask(
          url.href,
          "SELECT format('%I.%I', schemaname, tablename) AS name FROM pg_tables WHERE schemaname NOT LIKE 'pg_%' AND schemaname <> 'information_schema'",
        );
        const counts = tables.map(({ name: table }) => `(SELECT count(*) FROM ${String(table)})`).join(" + ") || "0";
        const [row] = await ask(
          url.href,
          `SELECT (${counts})::int AS rows, pg_database_size(current_database())::float8 AS bytes, (pg_current_wal_lsn() - '0/0')::float8 AS wal`,
        );
        return { rows: Number(row?.["rows"]), bytes: Number(row?.["bytes"]), wal: Number(row?.["wal"]) };
      },
    };
  };
  return {
    store: await make(),
    checkpoints: await make(),
    async [Symbol.asyncDispose]() {
      for (const name of names) await ask(postgresUrl(), `DROP DATABASE ${name} WITH (FORCE)`);
    },
  };
}
