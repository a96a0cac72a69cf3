import type { QueueStore } from "@stigmer/engine/embedded";
import type { AuditStore } from "./audit-store.ts";
import type { ExecutionStore } from "./execution-store.ts";
import type { LedgerStore } from "./ledger-store.ts";
import type { ResourceStore } from "./resource-store.ts";
import type { RetentionStore } from "./retention-store.ts";
import type { SettingStore } from "./setting-store.ts";
import type { ArtifactStore, SkillVersionStore } from "./skill-store.ts";
import type { TaskOutbox } from "./task-store.ts";

/** What may be written together: all of it is stored, or nothing. */
export interface StoreTransaction {
  readonly resources: ResourceStore;
  readonly executions: ExecutionStore;
  readonly skillVersions: SkillVersionStore;
  readonly tasks: TaskOutbox;
  readonly ledger: LedgerStore;
  readonly audit: AuditStore;
}

export interface TransactionOptions {
  /** As `StatusAppend.passing`: nobody goes on because of what it stores. Default false. */
  readonly passing?: boolean | undefined;
}

/**
 * Everything the server keeps, by role. Each call outside a transaction is one of its own. A resolved write survives
 * `kill -9`, and power loss too when somebody goes on because of it: a passing change (`StatusAppend.passing`) or transaction, and
 * what is said of a repeatable call, may survive that only from the next other write on.
 */
export interface Store extends StoreTransaction {
  readonly artifacts: ArtifactStore;
  readonly settings: SettingStore;
  readonly retention: RetentionStore;
  /** The engine's view of the tasks. */
  readonly queue: QueueStore;
  /**
   * Runs `work` in one transaction and commits it when `work` resolves; a rejection rolls back and is passed on.
   * `work` must await nothing but calls of its own `tx`: other writers wait for it. It may run again after a
   * serialization failure, so it must have no other effects.
   */
  transaction<T>(work: (tx: StoreTransaction) => Promise<T>, options?: TransactionOptions): Promise<T>;
  /** Ends writes in flight, then closes. Later calls throw `StoreError` `closed`. */
  close(): Promise<void>;
}
