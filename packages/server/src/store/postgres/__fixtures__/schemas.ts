import { randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { Client } from "pg";

/** An empty schema of the test's Postgres, of which a store takes no notice: it has a database of its own there. */
export interface Schema {
  readonly url: string;
  /** Asks Postgres itself; the rows. */
  query(text: string, values?: unknown[]): Promise<Record<string, unknown>[]>;
  /** A transaction of somebody else, which has done this. */
  hold(text: string, values?: unknown[]): Promise<HeldTransaction>;
  /** Resolves when so many connections of this schema's stores wait for a lock, or when `otherwise` is settled. */
  waiting(count: number, otherwise: Promise<unknown>): Promise<void>;
  drop(): Promise<void>;
}

export interface HeldTransaction {
  rollback(): Promise<void>;
}

/** Postgres as the system suites get it. */
function postgresUrl(): string {
  const url = process.env["STIGMER_TEST_POSTGRES_URL"];
  if (!url) throw new Error("Set STIGMER_TEST_POSTGRES_URL to a Postgres that may be written to: pnpm test:system does.");
  return url;
}

export async function createSchema(): Promise<Schema> {
  const name = `test_${randomBytes(6).toString("hex")}`;
  const url = new URL(postgresUrl());
  url.searchParams.set("options", `-c search_path=${name}`);
  const connect = async (): Promise<Client> => {
    const client = new Client({ connectionString: url.href.replaceAll("+", "%20"), application_name: name });
    await client.connect();
    return client;
  };
  const query: Schema["query"] = async (text, values) => {
    const client = await connect();
    try {
      return (await client.query<Record<string, unknown>>(text, values)).rows;
    } finally {
      await client.end();
    }
  };
  await query(`CREATE SCHEMA ${name}`);
  return {
    url: url.href,
    query,
    hold: async (text, values) => {
      const client = await connect();
      await client.query("BEGIN");
      await client.query(text, values);
      return {
        rollback: async () => {
          await client.query("ROLLBACK");
          await client.end();
        },
      };
    },
    waiting: async (count, otherwise) => {
      let over = false;
      const settled = (): void => void (over = true);
      otherwise.then(settled, settled);
      const text = `
        SELECT count(DISTINCT waiting.pid)::int AS count FROM pg_locks AS waiting
        WHERE NOT granted AND EXISTS (
          SELECT 1 FROM pg_locks JOIN pg_class ON pg_class.oid = relation
          WHERE pg_locks.pid = waiting.pid AND relnamespace = current_schema()::regnamespace)`;
      while (!over && (await query(text))[0]?.["count"] !== count) await sleep(10);
    },
    drop: async () => void (await query(`DROP SCHEMA ${name} CASCADE`)),
  };
}
