import type { Store, StoreTransaction } from "../store.ts";
import { createAuditStore } from "./audit.ts";
import { createArtifactStore } from "./artifacts.ts";
import { createConnections } from "./connections.ts";
import { createExecutionStore } from "./executions.ts";
import { createLedgerStore } from "./ledger.ts";
import { openDatabase, type PostgresOptions } from "./open.ts";
import { createQueueStore, type InTurn } from "./queue.ts";
import { createResourceStore } from "./resources.ts";
import { createRetentionStore } from "./retention.ts";
import { lockOf } from "./migrate.ts";
import { createSettingStore } from "./settings.ts";
import { createSkillVersionStore } from "./skill-versions.ts";
import type { Session } from "./sql.ts";
import { createTaskOutbox } from "./tasks.ts";

/**
 * The store of several servers, in one database of Postgres. Throws `ServerError` `database-unreachable` or
 * `database-newer`; calls throw `StoreError` `unavailable` while the database is away, and go on when it is back.
 */
export async function openPostgresStore(options: PostgresOptions): Promise<Store> {
  const { pool, lock } = await openDatabase(options);
  const connections = createConnections(pool);
  const session: Session = { read: connections.each, write: connections.each };
  const inTurn: InTurn = (work) =>
    connections.transaction({ isolation: "read committed", lock: lockOf("lease") }, work);
  return {
    ...createRoles(session),
    queue: createQueueStore(session, options.hold?.alone === true ? oneByOne(session) : inTurn),
    settings: createSettingStore(session),
    retention: createRetentionStore(session),
    artifacts: createArtifactStore(connections),
    // Its work reads what it likes and writes by that, as if nobody else were there.
    transaction: (work) =>
      connections.transaction({ isolation: "serializable" }, (sql) =>
        work(createRoles({ read: (step) => step(sql), write: (step) => step(sql) })),
      ),
    close: async () => {
      await connections.close();
      await lock?.release();
    },
  };
}

/** For a server that has the database alone: one after the other in its process, which takes no lock and a third of the questions. */
function oneByOne({ write }: Session): InTurn {
  let last: Promise<unknown> = Promise.resolve();
  return (work) => {
    const result = last.then(() => write(work));
    last = result.catch(() => {});
    return result;
  };
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
