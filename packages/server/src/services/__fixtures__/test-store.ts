import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { silentLogger } from "../../logger.ts";
import { openSqliteStore } from "../../store/sqlite/create-store.ts";
import type { Store } from "../../store/store.ts";

/** An empty place for a store, and a look at it from outside. */
export interface TestStore {
  /** Also after a close: what was stored is there again. */
  open(): Promise<Store>;
  /** All that is kept there, as bytes to search in. */
  kept(): Promise<Buffer>;
  /** How many rows of a table have one of these values in this column. */
  countRows(from: { readonly table: string; readonly column: string }, values: readonly string[]): Promise<number>;
  dispose(): Promise<void>;
}

/** Where SQLite's tables have the position of the run that a row belongs to, in place of its id. */
const POSITIONS: Record<string, string> = {
  execution_bodies: "execution",
  execution_snapshots: "execution",
  execution_deltas: "execution",
};

let create: () => Promise<TestStore> = async () => sqliteTestStore();

/** From now on tests of this file keep what they keep in Postgres. They do it in SQLite unless this is called. */
export function keepInPostgres(): void {
  create = postgresTestStore;
}

export function createTestStore(): Promise<TestStore> {
  return create();
}

function sqliteTestStore(): TestStore {
  const dataDir = mkdtempSync(join(tmpdir(), "stigmer-server-"));
  return {
    open: async () => openSqliteStore({ dataDir }),
    kept: async () => {
      const files = readdirSync(dataDir).filter((name) => name.startsWith("stigmer.db"));
      return Buffer.concat(files.map((name) => readFileSync(join(dataDir, name))));
    },
    countRows: async ({ table, column }, values) => {
      const database = new DatabaseSync(join(dataDir, "stigmer.db"), { readOnly: true });
      try {
        const any = values.map(() => "?").join();
        const position = POSITIONS[table];
        // What belongs to no run that is there is counted as theirs.
        const condition = position
          ? `coalesce((SELECT id FROM executions WHERE position = ${position}) IN (${any}), true)`
          : `${column} IN (${any})`;
        return Number(database.prepare(`SELECT count(*) AS n FROM ${table} WHERE ${condition}`).get(...values)?.["n"]);
      } finally {
        database.close();
      }
    },
    dispose: async () => rmSync(dataDir, { recursive: true, force: true }),
  };
}

async function postgresTestStore(): Promise<TestStore> {
  // Only who asks for it needs `pg`.
  const { createSchema } = await import("../../store/postgres/__fixtures__/schemas.ts");
  const { openPostgresStore } = await import("../../store/postgres/create-store.ts");
  const schema = await createSchema();
  return {
    open: () => openPostgresStore({ url: schema.url, logger: silentLogger }),
    kept: async () => {
      const tables = await schema.query("SELECT tablename FROM pg_tables WHERE schemaname = current_schema()");
      const kept: Buffer[] = [];
      for (const { tablename } of tables) {
        for (const row of await schema.query(`SELECT * FROM ${String(tablename)}`)) {
          for (const value of Object.values(row)) kept.push(Buffer.isBuffer(value) ? value : Buffer.from(textOf(value)));
        }
      }
      return Buffer.concat(kept);
    },
    countRows: async ({ table, column }, values) => {
      const rows = await schema.query(`SELECT count(*)::int AS n FROM ${table} WHERE ${column} = ANY($1)`, [values]);
      return Number(rows[0]?.["n"]);
    },
    dispose: () => schema.drop(),
  };
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value : (JSON.stringify(value) ?? "");
}
