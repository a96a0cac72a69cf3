import { openSqliteFile } from "../sqlite-file.ts";
import type { SqliteLedger } from "./create-sqlite-ledger.ts";
import { neverBegun } from "./never-begun.ts";

const schema = `
  CREATE TABLE IF NOT EXISTS tool_calls (
    run_id TEXT NOT NULL,
    call_key TEXT NOT NULL,
    tool_name TEXT NOT NULL,
    tool_class TEXT NOT NULL,
    begun_at TEXT NOT NULL,
    result BLOB,
    PRIMARY KEY (run_id, call_key)
  ) STRICT;
`;

/** Each call is one commit before its tool is run, and one after. Made by `createSqliteLedger`. */
export function openSqliteLedger(path: string): SqliteLedger {
  const format = { name: "tool-call ledger", schema, version: 1, synchronous: "FULL", table: "tool_calls" } as const;
  const database = openSqliteFile(path, format);
  const insert = database.prepare(`INSERT OR IGNORE INTO tool_calls VALUES (?, ?, ?, ?, ?, NULL)`);
  const select = database.prepare(
    `SELECT tool_class, begun_at, result FROM tool_calls WHERE run_id = ? AND call_key = ?`,
  );
  // The first result stays.
  const update = database.prepare(
    `UPDATE tool_calls SET result = coalesce(result, ?) WHERE run_id = ? AND call_key = ?`,
  );
  const remove = database.prepare(`DELETE FROM tool_calls WHERE run_id = ?`);
  return {
    forRun: (runId) => ({
      async begin({ callKey, toolName, toolClass }, signal) {
        signal?.throwIfAborted();
        const { changes } = insert.run(runId, callKey, toolName, toolClass, new Date().toISOString());
        if (changes > 0) return { kind: "started" };
        const known = select.get(runId, callKey);
        const result = known?.["result"];
        if (result instanceof Uint8Array) return { kind: "recorded", result };
        if (known?.["tool_class"] === "repeatable" && toolClass === "repeatable") return { kind: "started" };
        return { kind: "outcome-unknown", begunAt: String(known?.["begun_at"]) };
      },
      async finish(callKey, result) {
        if (update.run(result, runId, callKey).changes === 0) throw neverBegun(callKey);
      },
    }),
    deleteRun: (runId) => {
      remove.run(runId);
    },
    close: () => {
      if (database.isOpen) database.close();
    },
  };
}
