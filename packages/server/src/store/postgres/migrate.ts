import { setTimeout as sleep } from "node:timers/promises";
import type { Client } from "pg";
import { ServerError } from "../../errors.ts";
import { type Migration, MIGRATIONS } from "./migrations.ts";

/** This program's part of the database's advisory locks; what is locked comes second. */
export const LOCK_SPACE = 0x57_16_3e;

/** Locks are of the database, tables are of a schema. */
export const lockOf = (what: string): string => `${LOCK_SPACE}, hashtext('${what} ' || current_schema())`;

export interface MigrateOptions {
  /** For people. */
  readonly address: string;
  /**
   * Whether this connection stands for a server from now on, as long as it lives: steps that its program would not survive wait
   * for it.
   */
  readonly stays: boolean;
  /** Default: this program's. Change them in tests. */
  readonly migrations?: readonly Migration[];
}

/** Who waits in a statement has a snapshot, and an index that is built beside writers waits for that: so it is asked, not waited for. */
const ASK_AGAIN_MS = 100;
/** Everybody who wants a table waits behind a step that waits for it, in milliseconds: so it doesn't, and tries again. */
const LOCK_TIMEOUT_MS = 2_000;
const LOCK_TRIES = 10;
const LOCK_NOT_AVAILABLE = "55P03";

/**
 * Brings the database to this program's schema, beside servers that work with an earlier one; servers that start at the same
 * moment do so one after the other. A newer schema is used as it is, when it says that this program may. Throws
 * `ServerError` `database-newer`, `database-unreachable`, or `already-running` when servers that would not survive it are at work.
 */
export async function migrate(client: Client, options: MigrateOptions): Promise<void> {
  const { address, stays, migrations = MIGRATIONS } = options;
  const turn = lockOf("migrations");
  while (!(await isTaken(client, `pg_try_advisory_lock(${turn})`))) await sleep(ASK_AGAIN_MS);
  try {
    const { current, needs, told } = await stateOf(client, migrations);
    if (needs > migrations.length) throw tooNew({ address, current, needs, known: migrations.length });
    if (current < migrations.length && !told) {
      await client.query("ALTER TABLE migrations ADD COLUMN works_with INTEGER");
    }
    let oldest = needs;
    for (const [index, migration] of migrations.entries()) {
      if (index < current) continue;
      if (migration.worksWith > oldest) await refuseWhileUsed(client, { address, oldest, migration, to: index + 1 });
      oldest = Math.max(oldest, migration.worksWith);
      await step(client, { address, migration, version: index + 1 });
    }
    if (stays) await client.query(`SELECT pg_advisory_lock_shared(${program(migrations.length)})`);
  } finally {
    // A connection that broke has let go by itself.
    await client.query(`SELECT pg_advisory_unlock(${turn})`).catch(() => {});
  }
}

/** Held by each server of a version, for as long as it works. */
const program = (version: number): string => lockOf(`program ${version}`);

async function isTaken(client: Client, attempt: string): Promise<boolean> {
  const { rows } = await client.query<{ taken: boolean }>(`SELECT ${attempt} AS taken`);
  return rows[0]?.taken === true;
}

interface SchemaState {
  /** 0 in an empty database. */
  readonly current: number;
  /** The oldest version whose programs may use it. */
  readonly needs: number;
  /** Whether the table has a place for what newer programs say about that. */
  readonly told: boolean;
}

/** Who may not make tables may still use those that are there. */
async function stateOf(client: Client, migrations: readonly Migration[]): Promise<SchemaState> {
  const columns = await client.query<{ name: string }>(
    "SELECT attname AS name FROM pg_attribute WHERE attrelid = to_regclass('migrations') AND attnum > 0 AND NOT attisdropped",
  );
  if (columns.rows.length === 0) {
    await client.query(
      "CREATE TABLE migrations (version INTEGER NOT NULL PRIMARY KEY, applied_at TIMESTAMPTZ NOT NULL, works_with INTEGER)",
    );
    return { current: 0, needs: 0, told: true };
  }
  const told = columns.rows.some(({ name }) => name === "works_with");
  const { rows } = await client.query<{ version: number; needs: number }>(
    `SELECT version, ${told ? "coalesce(works_with, version)" : "version"} AS needs FROM migrations`,
  );
  return {
    current: Math.max(0, ...rows.map(({ version }) => version)),
    needs: Math.max(0, ...rows.map(({ version, needs }) => migrations[version - 1]?.worksWith ?? needs)),
    told,
  };
}

interface TooNew {
  readonly address: string;
  readonly current: number;
  readonly needs: number;
  readonly known: number;
}

function tooNew({ address, current, needs, known }: TooNew): ServerError {
  const which = needs === current ? "," : `, which programs of version ${needs} and later can use;`;
  return new ServerError(
    "database-newer",
    `The database ${address} has schema version ${current}${which} this program knows up to ${known}: ` +
      "use the newer stigmer that wrote it, or choose another database with STIGMER_DATABASE_URL.",
  );
}

interface Contraction {
  readonly address: string;
  readonly oldest: number;
  readonly migration: Migration;
  readonly to: number;
}

/** No server of an earlier program can come meanwhile: it would have to wait for its turn, and is refused then. */
async function refuseWhileUsed(client: Client, { address, oldest, migration, to }: Contraction): Promise<void> {
  for (let version = Math.max(1, oldest); version < migration.worksWith; version++) {
    const lock = program(version);
    if (!(await isTaken(client, `pg_try_advisory_lock(${lock})`))) {
      throw new ServerError(
        "already-running",
        `Servers of schema version ${version} use the database ${address}, and can't with version ${to}, which this one brings it to: ` +
          `upgrade them to a stigmer of version ${migration.worksWith} or later first, or stop them.`,
      );
    }
    await client.query(`SELECT pg_advisory_unlock(${lock})`);
  }
}

interface Step {
  readonly address: string;
  readonly migration: Migration;
  readonly version: number;
}

async function step(client: Client, { address, migration, version }: Step): Promise<void> {
  if (migration.indexes) {
    for (const [name, definition] of Object.entries(migration.indexes)) await buildIndex(client, name, definition);
    return record(client, version, migration);
  }
  for (let attempt = 1; ; attempt++) {
    try {
      await client.query(`BEGIN; SET LOCAL lock_timeout = ${LOCK_TIMEOUT_MS}`);
      await client.query(migration.sql);
      await record(client, version, migration);
      await client.query("COMMIT");
      return;
    } catch (cause) {
      await client.query("ROLLBACK");
      if ((cause as { code?: unknown }).code !== LOCK_NOT_AVAILABLE) throw cause;
      if (attempt < LOCK_TRIES) await sleep(ASK_AGAIN_MS);
      else {
        const text = `The database ${address} can't be brought to schema version ${version}: somebody keeps a table of it locked. Start again when that has ended.`;
        throw new ServerError("database-unreachable", text, { cause });
      }
    }
  }
}

async function record(client: Client, version: number, { worksWith }: Migration): Promise<void> {
  const text = "INSERT INTO migrations (version, applied_at, works_with) VALUES ($1, now(), $2)";
  await client.query(text, [version, worksWith]);
}

/** What was broken off leaves one that is none. */
async function buildIndex(client: Client, name: string, definition: string): Promise<void> {
  const { rows } = await client.query("SELECT 1 FROM pg_index WHERE indexrelid = to_regclass($1) AND NOT indisvalid", [
    name,
  ]);
  if (rows.length > 0) await client.query(`DROP INDEX CONCURRENTLY ${name}`);
  await client.query(`CREATE INDEX CONCURRENTLY IF NOT EXISTS ${name} ${definition}`);
}
