import type { RunStatuses } from "../executions/run-statuses.ts";
import type { ExecutionStore } from "../store/execution-store.ts";
import type { Store, StoreTransaction, TransactionOptions } from "../store/store.ts";
import type { RunNotice } from "./fanout.ts";

/**
 * The store, with everyone told who follows runs, once it is stored, that one came or went: by itself, or with the session or
 * agent that it belonged to.
 */
export function announceRuns(store: Store, { announce }: Pick<RunStatuses, "announce">): Store {
  /** On its own each call is a transaction, so that what is deleted is known to have been there. */
  async function alone<T>(work: (executions: ExecutionStore) => Promise<T>): Promise<T> {
    return transaction((tx) => work(tx.executions));
  }

  async function transaction<T>(work: (tx: StoreTransaction) => Promise<T>, options?: TransactionOptions): Promise<T> {
    let notices: RunNotice[] = [];
    const result = await store.transaction((tx) => {
      // It may run again.
      notices = [];
      return work({ ...tx, executions: noting(tx.executions, notices) });
    }, options);
    for (const notice of notices) announce(notice);
    return result;
  }

  return {
    ...store,
    executions: {
      ...store.executions,
      insert: (execution) => alone((executions) => executions.insert(execution)),
      delete: (id) => alone((executions) => executions.delete(id)),
    },
    transaction,
  };
}

function noting(executions: ExecutionStore, notices: RunNotice[]): ExecutionStore {
  return {
    ...executions,
    insert: async (execution) => {
      await executions.insert(execution);
      notices.push(noticeOf("created", { ...execution, revision: 1 }));
    },
    delete: async (id) => {
      const record = await executions.get(id);
      const deleted = await executions.delete(id);
      if (deleted && record) notices.push(noticeOf("deleted", record));
      return deleted;
    },
  };
}

function noticeOf(
  kind: "created" | "deleted",
  run: {
    readonly id: string;
    readonly org: string;
    readonly sessionId: string;
    readonly agentId: string;
    readonly revision: number;
  },
): RunNotice {
  const { id: executionId, org, sessionId, agentId, revision } = run;
  return { kind, executionId, org, sessionId, agentId, revision, summaryChanged: true, amended: false };
}
