import type { StoreTransaction } from "../store/store.ts";

/** The roles of a transaction, with `note` told of each resource that is written: its kind, and its id. */
export function noteChanges(tx: StoreTransaction, note: (kind: string, id: string) => void): StoreTransaction {
  const { resources, executions, skillVersions } = tx;
  const run = (id: string): void => note("AgentExecution", id);
  return {
    ...tx,
    resources: {
      ...resources,
      insert: async (record) => {
        await resources.insert(record);
        note(record.kind, record.id);
      },
      replace: async (record, expectedVersion) => {
        await resources.replace(record, expectedVersion);
        note(record.kind, record.id);
      },
      delete: async (kind, id) => {
        const deleted = await resources.delete(kind, id);
        if (deleted) note(kind, id);
        return deleted;
      },
    },
    executions: {
      ...executions,
      insert: async (execution) => {
        await executions.insert(execution);
        run(execution.id);
      },
      replaceBody: async (id, change) => {
        await executions.replaceBody(id, change);
        run(id);
      },
      append: async (change) => {
        const result = await executions.append(change);
        run(change.id);
        return result;
      },
      delete: async (id) => {
        const deleted = await executions.delete(id);
        if (deleted) run(id);
        return deleted;
      },
    },
    skillVersions: {
      ...skillVersions,
      put: async (version) => {
        await skillVersions.put(version);
        note("Skill", version.skillId);
      },
    },
  };
}
