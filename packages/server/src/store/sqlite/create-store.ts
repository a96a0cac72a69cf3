import { join } from "node:path";
import { StoreError } from "../errors.ts";
import type { Store, StoreTransaction } from "../store.ts";
import { createAuditStore } from "./audit.ts";
import { createArtifactStore } from "./artifacts.ts";
import { createExecutionStore } from "./executions.ts";
import { createLedgerStore } from "./ledger.ts";
import { openDatabases } from "./open.ts";
import { createQueueStore } from "./queue.ts";
import { createResourceStore } from "./resources.ts";
import { createRetentionStore } from "./retention.ts";
import { createSettingStore } from "./settings.ts";
import { createSkillVersionStore } from "./skill-versions.ts";
import { createSql, type Session, type Sql } from "./sql.ts";
import { createTaskOutbox } from "./tasks.ts";
import { refusalOfDisk } from "./trouble.ts";
import { createWriter } from "./writer.ts";

export interface SqliteStoreOptions {
  /** Holds `stigmer.db` and `artifacts/`; made when missing. */
  readonly dataDir: string;
}

/**
 * The store of one machine, on Node's own SQLite. Throws `ServerError` `not-writable`, `database-corrupt` or
 * `database-newer`.
 */
export function openSqliteStore(options: SqliteStoreOptions): Store {
  const databases = openDatabases(options.dataDir);
  const writer = createWriter(databases.writer);
  const writerSql = createSql(databases.writer);
  const readerSql = createSql(databases.reader);
  let closed: Promise<void> | undefined;

  const raise = (error: unknown): never => {
    throw refusalOfDisk(error, options.dataDir);
  };
  const session: Session = {
    read: async (work) => {
      if (closed) throw new StoreError("closed", "The store is closed.");
      try {
        // What it has written it need not read back from the log, where the reader would look for all that it knew after each commit.
        return work(databases.writer.isTransaction ? readerSql : writerSql);
      } catch (error) {
        return raise(error);
      }
    },
    write: (work, options) => writer.run(() => work(writerSql), options).catch(raise),
  };

  async function transact<T>(work: (tx: StoreTransaction) => Promise<T>): Promise<T> {
    let over = false;
    const now = async <R>(step: (sql: Sql) => R): Promise<R> => {
      if (over) throw new StoreError("closed", "A transaction was used after its end.");
      return step(writerSql);
    };
    try {
      return await work(createRoles({ read: now, write: now }));
    } finally {
      over = true;
    }
  }

  return {
    ...createRoles(session),
    queue: createQueueStore(session),
    settings: createSettingStore(session),
    retention: createRetentionStore(session),
    artifacts: createArtifactStore(join(options.dataDir, "artifacts")),
    transaction: (work, options) => writer.run(() => transact(work), options).catch(raise),
    close: () => (closed ??= close()),
  };

  async function close(): Promise<void> {
    await writer.close();
    databases.reader.close();
    databases.writer.close();
  }
}

function createRoles(session: Session): StoreTransaction {
  return {
    resources: createResourceStore(session),
    executions: createExecutionStore(session),
    skillVersions: createSkillVersionStore(session),
    tasks: createTaskOutbox(session),
    ledger: createLedgerStore(session),
    audit: createAuditStore(session),
  };
}
