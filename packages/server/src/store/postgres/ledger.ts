import { createHash } from "node:crypto";
import type {
  LedgerEntry,
  LedgerStore,
  ToolCallEnd,
  ToolCallIntent,
  ToolCallResult,
  ToolCallStart,
} from "../ledger-store.ts";
import type { WriteState } from "../execution-store.ts";
import { endOf, ledgerRefusalOf, startOf } from "../ledger-store.ts";
import { decide, stillParameters, TASK, TASK_STILL, WRITE_STATE_COLUMNS } from "./executions.ts";
import type { Parameters, Session, Sql } from "./sql.ts";

/** What decides about a call, at one moment. Results are large; they are read only where they are the answer. */
const STATE = `
  SELECT ${WRITE_STATE_COLUMNS}, call.state, class AS "toolClass", call.fence, request_id AS "requestId", begun_at AS "begunAt"
  FROM executions LEFT JOIN tasks ON tasks.id = executions.id
    LEFT JOIN tool_calls AS call ON call.execution_id = executions.id AND call_key = :key
  WHERE executions.id = :id`;

/** The run, when it is still as it was when this was decided, and stays so until the statement is stored. */
const RUN = `
  WITH ${TASK}, run AS MATERIALIZED (SELECT id FROM executions WHERE id = :id AND NOT ended AND ${TASK_STILL} FOR SHARE)`;

const ADD = `${RUN}
  INSERT INTO tool_calls (execution_id, call_key, tool_name, class, state, fence, request_id, begun_at)
  SELECT id, :key, :tool_name, :class, 'open', :fence::bigint, :request_id, :begun_at::bigint FROM run
  ON CONFLICT DO NOTHING`;

/** The call, when it is still open for the intent that this was decided by. */
const STILL_OPEN = `
  execution_id = run.id AND call_key = :key AND state = 'open' AND tool_calls.fence = :open_fence
    AND request_id = :open_request_id AND class = :open_class`;

const START_AGAIN = `${RUN}
  UPDATE tool_calls SET tool_name = :tool_name, class = :class, fence = :fence, request_id = :request_id, begun_at = :begun_at
  FROM run WHERE ${STILL_OPEN}`;

const GIVE_UP = `${RUN} UPDATE tool_calls SET state = 'unknown' FROM run WHERE ${STILL_OPEN}`;

const FINISH = `${RUN} UPDATE tool_calls SET state = 'finished', result = :result FROM run WHERE ${STILL_OPEN}`;

const RESULT = "SELECT result FROM tool_calls WHERE execution_id = :id AND call_key = :key AND state = 'finished'";

export function createLedgerStore(session: Session): LedgerStore {
  return {
    begin: (intent) => session.write((sql) => decide(intent.executionId, () => begin(sql, intent))),
    finish: (result) => session.write((sql) => decide(result.executionId, () => finish(sql, result))),
    count: (executionId) =>
      session.read(async (sql) => {
        const text = "SELECT count(*) AS count FROM tool_calls WHERE execution_id = :id";
        return (await sql.get<{ count: number }>(text, { id: executionId }))?.count ?? 0;
      }),
  };
}

async function begin(sql: Sql, intent: ToolCallIntent): Promise<ToolCallStart | "outdated"> {
  const { executionId: id, fence } = intent;
  const key = keyOf(intent);
  const { state, entry } = await read(sql, { id, key });
  const refusal = ledgerRefusalOf({ fence, starts: true }, state);
  if (refusal || !state) return refusal ?? { kind: "missing" };
  const still = { ...stillParameters(id, state), key };
  const begunAt = entry?.begunAt ?? intent.now;
  switch (startOf(intent, entry)) {
    case "start": {
      const { toolName: tool_name, toolClass, requestId: request_id, now: begun_at } = intent;
      const started = { ...still, tool_name, class: toolClass, fence, request_id, begun_at };
      const stored = entry ? await sql.run(START_AGAIN, { ...started, ...open(entry) }) : await sql.run(ADD, started);
      return stored > 0 ? { kind: "started" } : "outdated";
    }
    case "started":
      return { kind: "started" };
    case "recorded": {
      const recorded = await sql.get<{ result: Uint8Array }>(RESULT, { id, key });
      return recorded ? { kind: "recorded", result: recorded.result } : "outdated";
    }
    case "give-up":
      if (!entry || (await sql.run(GIVE_UP, { ...still, ...open(entry) })) === 0) return "outdated";
      return { kind: "unknown", begunAt };
    case "unknown":
      return { kind: "unknown", begunAt };
  }
}

async function finish(sql: Sql, result: ToolCallResult): Promise<ToolCallEnd | "outdated"> {
  const { executionId: id, fence } = result;
  const key = keyOf(result);
  const { state, entry } = await read(sql, { id, key });
  const refusal = ledgerRefusalOf({ fence, starts: false }, state);
  if (refusal || !state) return refusal ?? { kind: "missing" };
  const end = endOf(result, entry);
  if (end !== "finish" || !entry) return { kind: end === "finish" ? "not-begun" : end };
  const parameters = { ...stillParameters(id, state), key, ...open(entry), result: result.result };
  return (await sql.run(FINISH, parameters)) > 0 ? { kind: "recorded" } : "outdated";
}

interface Found {
  readonly state: WriteState | undefined;
  readonly entry: LedgerEntry | undefined;
}

async function read(sql: Sql, call: { readonly id: string; readonly key: string }): Promise<Found> {
  const row = await sql.get<WriteState & (LedgerEntry | { readonly state: null })>(STATE, call);
  return { state: row, entry: row && row.state !== null ? row : undefined };
}

function open({ fence, requestId, toolClass }: LedgerEntry): Parameters {
  return { open_fence: fence, open_request_id: requestId, open_class: toolClass };
}

/** The longest key that is kept as it is, in characters: an index holds 2.7 kB. A longer one is never read, only compared. */
const MAX_KEY_LENGTH = 400;

function keyOf({ callKey }: { readonly callKey: string }): string {
  if (callKey.length <= MAX_KEY_LENGTH) return callKey;
  return `sha256:${createHash("sha256").update(callKey).digest("hex")}`;
}
