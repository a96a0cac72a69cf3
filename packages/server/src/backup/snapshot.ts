import { existsSync } from "node:fs";
import { join } from "node:path";
import { backup, DatabaseSync } from "node:sqlite";
import { setImmediate } from "node:timers/promises";
import { SCHEMA_VERSION } from "../store/sqlite/migrations.ts";
import { troubleOf } from "../store/sqlite/trouble.ts";
import { BackupError } from "./errors.ts";
import { DATABASES, SERVER_DATABASE } from "./format.ts";

/** One moment of all databases of a data directory, whatever is written meanwhile. */
export interface Snapshot extends Disposable {
  /** RFC 3339. */
  readonly takenAt: string;
  readonly schemaVersion: number;
  /** Names of the databases that are there. */
  readonly databases: readonly string[];
  /** Keys of the artifacts that the server's database refers to. */
  readonly artifacts: readonly string[];
  /** Copies a database, whole and verified, into a new file. Throws `BackupError` `damaged`. */
  copy(name: string, path: string): Promise<void>;
}

/** How long writers may keep the databases from this, in milliseconds. A commit takes one. */
const PATIENCE_MS = 10_000;
/** Pages, of 1 or 4 KiB, that are copied between two looks at other work. */
const PAGES_PER_STEP = 2_048;

/**
 * Takes the moment: no database is written while all of them are looked at, so that together they are what `kill -9` of everything
 * would have left there. Writers wait about a millisecond. Throws `BackupError` `no-database`, `busy`, `damaged` or `newer`.
 */
export async function takeSnapshot(dataDir: string): Promise<Snapshot> {
  const databases = DATABASES.filter((name) => existsSync(join(dataDir, name)));
  if (!databases.includes(SERVER_DATABASE)) {
    throw new BackupError("no-database", `There is no database in ${dataDir}: nothing to back up.`);
  }
  const readers = new Map<string, DatabaseSync>();
  const holders: DatabaseSync[] = [];
  const close = (): void => {
    // Who is the last to close a database puts its log away, which these can and readers can't.
    for (const database of [...readers.values(), ...holders.splice(0)]) database.close();
    readers.clear();
  };
  try {
    const takenAt = await holdingStill(
      databases.map((name) => {
        const database = new DatabaseSync(join(dataDir, name), { timeout: 0 });
        holders.push(database);
        return database;
      }),
      () => {
        for (const name of databases) {
          readers.get(name)?.close();
          const reader = new DatabaseSync(join(dataDir, name), { readOnly: true });
          readers.set(name, reader);
          // The first look is what a transaction sees to its end.
          reader.exec("BEGIN; SELECT count(*) FROM sqlite_schema;");
        }
        return new Date().toISOString();
      },
    );
    const server = readers.get(SERVER_DATABASE);
    if (!server) throw new Error("The server's database was not opened.");
    return {
      takenAt,
      databases,
      schemaVersion: schemaVersionOf(server, join(dataDir, SERVER_DATABASE)),
      artifacts: artifactsOf(server),
      copy: (name, path) => copy(readers.get(name), { from: join(dataDir, name), to: path }),
      [Symbol.dispose]: close,
    };
  } catch (error) {
    close();
    throw explain(error, dataDir);
  }
}

/**
 * Does something while nobody writes to the databases. SQLite waits for a lock by looking at it a few times a second, and would
 * meet a server that is never idle busy each time: this looks as often as it can, and holds on to none while another is busy,
 * so that nobody waits for who waits.
 */
async function holdingStill<T>(databases: readonly DatabaseSync[], work: () => T): Promise<T> {
  for (const until = performance.now() + PATIENCE_MS; ; await setImmediate()) {
    try {
      for (const database of databases) database.exec("BEGIN IMMEDIATE");
      return work();
    } catch (error) {
      if (troubleOf(error) !== "busy" || performance.now() > until) throw error;
    } finally {
      for (const database of databases) if (database.isTransaction) database.exec("ROLLBACK");
    }
  }
}

function schemaVersionOf(server: DatabaseSync, path: string): number {
  const version = Number(server.prepare("SELECT max(version) AS version FROM migrations").get()?.["version"] ?? 0);
  if (version <= SCHEMA_VERSION) return version;
  const text = `The database ${path} has schema version ${version}, this program knows up to ${SCHEMA_VERSION}: use the newer stigmer that wrote it.`;
  throw new BackupError("newer", text);
}

/** Whether the database of now refers to an artifact. */
export function refersTo(dataDir: string, key: string): boolean {
  using server = new DatabaseSync(join(dataDir, SERVER_DATABASE), { readOnly: true, timeout: PATIENCE_MS });
  return server.prepare("SELECT 1 FROM skill_versions WHERE hash = ?").get(key) !== undefined;
}

/** Keys of the artifacts that a server's database refers to. */
function artifactsOf(server: DatabaseSync): string[] {
  const rows = server.prepare("SELECT DISTINCT hash FROM skill_versions ORDER BY hash").all();
  return rows.map(({ hash }) => String(hash));
}

async function copy(reader: DatabaseSync | undefined, { from, to }: { from: string; to: string }): Promise<void> {
  if (!reader) throw new Error(`${from} is not in the snapshot.`);
  try {
    await backup(reader, to, { rate: PAGES_PER_STEP });
  } catch (error) {
    if (troubleOf(error) !== "corrupt") throw error;
    throw new BackupError("damaged", damaged(from, error), { cause: error });
  }
  using database = new DatabaseSync(to);
  // What is copied of a database with a log of its own would look for one.
  database.exec("PRAGMA journal_mode = DELETE");
  const problem = problemOf(database);
  if (problem !== undefined) throw new BackupError("damaged", damaged(from, problem));
}

function damaged(path: string, problem: unknown): string {
  const reason = problem instanceof Error ? problem.message : String(problem);
  return `The database ${path} is damaged (${reason}), and a copy of it would be: restore an earlier backup.`;
}

/** What SQLite finds wrong in a database, or undefined. */
export function problemOf(database: DatabaseSync): string | undefined {
  try {
    const found = database.prepare("PRAGMA integrity_check(1)").get()?.["integrity_check"];
    return found === "ok" ? undefined : String(found);
  } catch (error) {
    return (error as Error).message;
  }
}

function explain(error: unknown, dataDir: string): unknown {
  const { message } = error as Error;
  const cause = { cause: error };
  switch (troubleOf(error)) {
    case "busy":
      return new BackupError("busy", `Another process holds a database in ${dataDir}: try again.`, cause);
    case "corrupt":
      return new BackupError("damaged", damaged(join(dataDir, SERVER_DATABASE), error), cause);
    case "unwritable":
    case "io":
    case "full":
      return new BackupError("unreadable", `Cannot read the databases in ${dataDir}: ${message}`, cause);
    case undefined:
      return error;
  }
}
