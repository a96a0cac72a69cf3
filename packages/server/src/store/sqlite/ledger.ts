import type {
  LedgerEntry,
  LedgerStore,
  ToolCallEnd,
  ToolCallIntent,
  ToolCallResult,
  ToolCallStart,
} from "../ledger-store.ts";
import { endOf, ledgerRefusalOf, startOf } from "../ledger-store.ts";
import { readWriteState } from "./executions.ts";
import type { Session, Sql } from "./sql.ts";

interface Key {
  readonly executionId: string;
  readonly callKey: string;
}

/** Results are large; they are read only where they are the answer. */
const ENTRY = `
  SELECT state, class AS toolClass, fence, request_id AS requestId, begun_at AS begunAt FROM tool_calls
  WHERE execution_id = :id AND call_key = :key`;

const START = `
  INSERT INTO tool_calls (execution_id, call_key, tool_name, class, state, fence, request_id, begun_at)
  VALUES (:id, :key, :tool_name, :class, 'open', :fence, :request_id, :begun_at)
  ON CONFLICT (execution_id, call_key) DO UPDATE SET tool_name = excluded.tool_name, class = excluded.class,
    fence = excluded.fence, request_id = excluded.request_id, begun_at = excluded.begun_at`;

const GIVE_UP = "UPDATE tool_calls SET state = 'unknown' WHERE execution_id = :id AND call_key = :key";

const FINISH =
  "UPDATE tool_calls SET state = 'finished', result = :result WHERE execution_id = :id AND call_key = :key";

const RESULT = "SELECT result FROM tool_calls WHERE execution_id = :id AND call_key = :key";

export function createLedgerStore(session: Session): LedgerStore {
  return {
    // That a call was begun which may be made again binds nobody, nor what came of it.
    begin: (intent) => session.write((sql) => begin(sql, intent), { passing: intent.toolClass === "repeatable" }),
    finish: (result) => session.write((sql) => finish(sql, result), { passing: result.toolClass === "repeatable" }),
    count: (executionId) =>
      session.read((sql) => {
        const text = "SELECT count(*) AS count FROM tool_calls WHERE execution_id = :id";
        return sql.get<{ count: number }>(text, { id: executionId })?.count ?? 0;
      }),
  };
}

function begin(sql: Sql, intent: ToolCallIntent): ToolCallStart {
  const refusal = ledgerRefusalOf({ fence: intent.fence, starts: true }, readWriteState(sql, intent.executionId));
  if (refusal) return refusal;
  const key = keyOf(intent);
  const entry = sql.get<LedgerEntry>(ENTRY, key);
  const begunAt = entry?.begunAt ?? intent.now;
  switch (startOf(intent, entry)) {
    case "start": {
      const { toolName: tool_name, toolClass, fence, requestId: request_id, now: begun_at } = intent;
      sql.run(START, { ...key, tool_name, class: toolClass, fence, request_id, begun_at });
      return { kind: "started" };
    }
    case "started":
      return { kind: "started" };
    case "recorded":
      return { kind: "recorded", result: sql.get<{ result: Uint8Array }>(RESULT, key)?.result ?? new Uint8Array() };
    case "give-up":
      sql.run(GIVE_UP, key);
      return { kind: "unknown", begunAt };
    case "unknown":
      return { kind: "unknown", begunAt };
  }
}

function finish(sql: Sql, result: ToolCallResult): ToolCallEnd {
  const refusal = ledgerRefusalOf({ fence: result.fence, starts: false }, readWriteState(sql, result.executionId));
  if (refusal) return refusal;
  const key = keyOf(result);
  const end = endOf(result, sql.get<LedgerEntry>(ENTRY, key));
  if (end !== "finish") return { kind: end };
  sql.run(FINISH, { ...key, result: result.result });
  return { kind: "recorded" };
}

function keyOf({ executionId, callKey }: Key): { readonly id: string; readonly key: string } {
  return { id: executionId, key: callKey };
}
