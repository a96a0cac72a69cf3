import { randomBytes } from "node:crypto";
import { Client } from "pg";

/** An empty schema of the test's Postgres, of which a store takes no notice: it has a database of its own there. */
export interface Schema {
  readonly url: string;
  /** Asks Postgres itself; the rows. */
  query(text: string, values?: unknown[]): Promise<Record<string, unknown>[]>;
  drop(): Promise<void>;
}

/** Postgres as the system suites get it. */
export function postgresUrl(): string {
  const url = process.env["STIGMER_TEST_POSTGRES_URL"];
  if (!url) throw new Error("Set STIGMER_TEST_POSTGRES_URL to a Postgres that may be written to: pnpm test:system does.");
  return url;
}

export async function createSchema(): Promise<Schema> {
  const name = `test_${randomBytes(6).toString("hex")}`;
  const url = new URL(postgresUrl());
  url.searchParams.set("options", `-c search_path=${name}`);
  const query: Schema["query"] = async (text, values) => {
    const client = new Client({ connectionString: url.href.replaceAll("+", "%20") });
    await client.connect();
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
    drop: async () => void (await query(`DROP SCHEMA ${name} CASCADE`)),
  };
}
