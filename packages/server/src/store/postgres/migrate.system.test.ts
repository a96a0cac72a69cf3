import { Client } from "pg";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { silentLogger } from "../../logger.ts";
import { execution, task } from "../__fixtures__/conformance/executions.ts";
import { storeConformance } from "../__fixtures__/conformance/index.ts";
import type { Store } from "../store.ts";
import { createSchema, type Schema } from "./__fixtures__/schemas.ts";
import { openPostgresStore } from "./create-store.ts";
import { migrate } from "./migrate.ts";
import { type Migration, MIGRATIONS } from "./migrations.ts";

// Servers of different programs on one database, as in a rolling upgrade. The older one is this program; the newer one has
// steps that are made up.

const VERSION = MIGRATIONS.length;
const OLDEST = MIGRATIONS.at(-1)?.worksWith ?? 1;

/** What a later program may do beside this one. */
const GROWTH: readonly Migration[] = [
  {
    worksWith: OLDEST,
    sql: `
      ALTER TABLE executions ADD COLUMN weight BIGINT NOT NULL DEFAULT 7;
      ALTER TABLE resources ADD COLUMN note TEXT;
      CREATE TABLE notes (execution_id TEXT COLLATE "C" NOT NULL REFERENCES executions (id) ON DELETE CASCADE)`,
  },
  { worksWith: OLDEST, indexes: { executions_by_weight: "ON executions (weight, id)" } },
];
/** What this program would not survive. */
const LOSS: Migration = { worksWith: VERSION + 1, sql: "ALTER TABLE executions RENAME COLUMN labels TO marks" };

let schema: Schema;
const stores: Store[] = [];
beforeEach(async () => {
  schema = await createSchema();
});
afterEach(async () => {
  for (const store of stores.splice(0)) await store.close();
  await schema.drop();
});

/** A server of this program. */
async function openServer(): Promise<Store> {
  const hold = { alone: false, onLost: () => {} };
  const store = await openPostgresStore({ url: schema.url, logger: silentLogger, hold });
  stores.push(store);
  return store;
}

/** As a newer program's server does when it starts. */
async function upgrade(to: readonly Migration[], url = schema.url): Promise<void> {
  const client = new Client({ connectionString: new URL(url).href.replaceAll("+", "%20") });
  await client.connect();
  await migrate(client, { address: "here", stays: false, migrations: to }).finally(() => client.end());
}

const versions = async (): Promise<unknown[]> =>
  (await schema.query("SELECT version FROM migrations ORDER BY version")).map(({ version }) => version);

describe("the schema's history", () => {
  it("takes nothing away from the programs that it says it works with", async () => {
    const seen: Schema[] = [];
    try {
      const shapes: Map<string, string>[] = [];
      for (let version = 1; version <= VERSION; version++) {
        const one = await createSchema();
        seen.push(one);
        await upgrade(MIGRATIONS.slice(0, version), one.url);
        shapes.push(await shapeOf(one));
      }
      for (const [index, { worksWith }] of MIGRATIONS.entries()) {
        expect(worksWith).toBeGreaterThanOrEqual(MIGRATIONS[index - 1]?.worksWith ?? 1);
        expect(worksWith).toBeLessThanOrEqual(index + 1);
        for (let older = worksWith; older <= index; older++) {
          const [before, after] = [shapes[older - 1] ?? new Map(), shapes[index] ?? new Map()];
          expect(hindrances(before, after), `version ${index + 1} beside programs of version ${older}`).toEqual([]);
        }
      }
    } finally {
      for (const one of seen) await one.drop();
    }
  });

  it("would tell what it takes away, or asks of who does not know of it", async () => {
    await upgrade(MIGRATIONS);
    const before = await shapeOf(schema);
    const told = async (sql: string): Promise<string[]> => {
      await upgrade([...MIGRATIONS, { worksWith: OLDEST, sql }]);
      const found = hindrances(before, await shapeOf(schema));
      await schema.drop();
      schema = await createSchema();
      await upgrade(MIGRATIONS);
      return found;
    };
    expect(await told(GROWTH[0]?.sql ?? "")).toEqual([]);
    expect(await told(LOSS.sql ?? "")).toEqual(["executions.labels is gone", "executions.marks must be given"]);
    expect(
      await told(
        "ALTER TABLE tasks ADD COLUMN weight BIGINT NOT NULL DEFAULT 1; ALTER TABLE tasks ALTER weight DROP DEFAULT",
      ),
    ).toEqual(["tasks.weight must be given"]);
    expect(await told("ALTER TABLE tasks ALTER COLUMN payload TYPE TEXT USING ''")).toEqual([
      "tasks.payload is text, was bytea",
    ]);
    expect(await told("DROP TABLE settings")).toEqual([
      "settings is gone",
      "settings.name is gone",
      "settings.value is gone",
    ]);
    expect(await told("ALTER TABLE settings ADD CHECK (value <> '')")).toEqual([
      "settings: CHECK ((value <> ''::text)) is asked for",
    ]);
    expect(await told("CREATE UNIQUE INDEX one_name ON executions (name)")).toEqual([
      "executions: UNIQUE INDEX one_name (name) is asked for",
    ]);
  });
});

describe("a server beside a newer one", () => {
  it("goes on while the schema grows under it, and starts again after that", async () => {
    const store = await openServer();
    await store.executions.insert(execution({ id: "aex-before" }));
    let writing = true;
    let count = 0;
    const writer = (async () => {
      for (; writing; count++) {
        await store.transaction(async (tx) => {
          await tx.executions.insert(execution({ id: `aex-${count}` }));
          await tx.tasks.enqueue(task(`aex-${count}`));
        });
      }
    })();
    while (count < 5) await new Promise(setImmediate);
    await upgrade([...MIGRATIONS, ...GROWTH]);
    const then = count;
    while (count < then + 5) await new Promise(setImmediate);
    writing = false;
    await writer;
    expect(await versions()).toEqual(Array.from({ length: VERSION + 2 }, (_, index) => index + 1));
    expect(await store.executions.count({})).toBe(count + 1);
    const another = await openServer();
    expect(await another.executions.get("aex-before")).toMatchObject({ id: "aex-before" });
    expect(await schema.query("SELECT DISTINCT weight FROM executions")).toEqual([{ weight: "7" }]);
  });

  it("holds up a step that it would not survive, and is refused after that", async () => {
    const store = await openServer();
    await expect(upgrade([...MIGRATIONS, LOSS])).rejects.toMatchObject({
      code: "already-running",
      message:
        `Servers of schema version ${VERSION} use the database here, and can't with version ${VERSION + 1}, which this one brings it to: ` +
        `upgrade them to a stigmer of version ${VERSION + 1} or later first, or stop them.`,
    });
    await store.executions.insert(execution({ id: "aex-1" }));
    await stores.pop()?.close();
    await upgrade([...MIGRATIONS, LOSS]);
    await expect(openServer()).rejects.toMatchObject({
      code: "database-newer",
      message: expect.stringMatching(
        /has schema version \d+, this program knows up to \d+: use the newer stigmer/,
      ) as string,
    });
    expect(await versions()).toHaveLength(VERSION + 1);
  });

  it("is told which programs could, when that is not the newest alone", async () => {
    await upgrade([...MIGRATIONS, LOSS, { worksWith: VERSION + 1, sql: "CREATE TABLE later ()" }]);
    await expect(openServer()).rejects.toMatchObject({
      message: expect.stringContaining(
        `has schema version ${VERSION + 2}, which programs of version ${VERSION + 1} and later can use; this program knows up to ${VERSION}`,
      ) as string,
    });
  });
});

it("upgrades once when several do at the same moment, and finishes what another has left", async () => {
  await upgrade(MIGRATIONS);
  // An index that was broken off.
  await schema.query("CREATE INDEX executions_by_weight ON executions (created_at)");
  await schema.query("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'executions_by_weight'::regclass");
  await Promise.all([1, 2, 3].map(() => upgrade([...MIGRATIONS, ...GROWTH])));
  expect(await versions()).toHaveLength(VERSION + 2);
  const [index] = await schema.query(
    "SELECT indisvalid AS valid, pg_get_indexdef(indexrelid) AS text FROM pg_index WHERE indexrelid = 'executions_by_weight'::regclass",
  );
  expect(index).toMatchObject({ valid: true, text: expect.stringContaining("(weight, id)") as string });
});

it("waits for who has a table, without making others wait behind it", async () => {
  const store = await openServer();
  const held = await schema.hold("LOCK TABLE executions IN ACCESS SHARE MODE");
  const upgraded = upgrade([...MIGRATIONS, ...GROWTH]);
  for (let count = 0; count < 50; count++) await store.executions.insert(execution({ id: `aex-${count}` }));
  await held.rollback();
  await upgraded;
  expect(await store.executions.count({})).toBe(50);
});

storeConformance({
  name: "postgres, of a newer program",
  sequences: 5,
  open: async () => {
    const own = await createSchema();
    const open = () => openPostgresStore({ url: own.url, logger: silentLogger });
    await upgrade([...MIGRATIONS, ...GROWTH], own.url);
    let store = await open();
    return {
      store,
      reopen: async () => {
        await store.close();
        return (store = await open());
      },
      dispose: async () => {
        await store.close();
        await own.drop();
      },
    };
  },
});

/** Everything that a program reads, or that its writes are held to: what, and how it is. */
async function shapeOf({ query }: Schema): Promise<Map<string, string>> {
  const rows = await query(`
    WITH tables AS (
      SELECT oid, relname FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p') AND relname <> 'migrations'
    )
    SELECT relname AS name, 'table' AS value FROM tables
    UNION ALL SELECT relname || '.' || attname, format_type(atttypid, atttypmod) || CASE
        WHEN attnotnull AND NOT atthasdef AND attidentity = '' THEN ' given' ELSE '' END
      FROM tables JOIN pg_attribute ON attrelid = tables.oid WHERE attnum > 0 AND NOT attisdropped
    UNION ALL SELECT relname || ': ' || pg_get_constraintdef(pg_constraint.oid), 'asked'
      FROM tables JOIN pg_constraint ON conrelid = tables.oid WHERE contype IN ('c', 'f', 'x')
    UNION ALL SELECT relname || ': UNIQUE INDEX ' || substring(pg_get_indexdef(indexrelid) FROM 'INDEX (\\S+)') || ' ' ||
        substring(pg_get_indexdef(indexrelid) FROM '\\(.*'), 'asked'
      FROM tables JOIN pg_index ON indrelid = tables.oid WHERE indisunique`);
  return new Map(rows.map(({ name, value }) => [String(name), String(value)]));
}

/** What a program that knows the schema as it was before stumbles over, as it is after. */
function hindrances(before: ReadonlyMap<string, string>, after: ReadonlyMap<string, string>): string[] {
  const tables = new Set([...before.keys()].filter((name) => before.get(name) === "table"));
  const found: string[] = [];
  for (const [name, value] of before) {
    const now = after.get(name);
    const [type = "", typeNow = ""] = [value, now ?? ""].map((each) => each.replace(/ given$/, ""));
    if (value === "asked") continue;
    if (now === undefined) found.push(`${name} is gone`);
    else if (type !== typeNow) found.push(`${name} is ${typeNow}, was ${type}`);
    else if (now !== value && now.endsWith(" given")) found.push(`${name} must be given`);
  }
  for (const [name, value] of after) {
    // Tables that it does not know are never written by it.
    if (before.has(name) || !tables.has(/^[^.:]+/.exec(name)?.[0] ?? "")) continue;
    if (value === "asked") found.push(`${name} is asked for`);
    else if (value.endsWith(" given")) found.push(`${name} must be given`);
  }
  return found.toSorted();
}
