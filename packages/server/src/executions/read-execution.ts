import { create, fromBinary } from "@bufbuild/protobuf";
import {
  AgentExecutionSchema,
  type AgentExecution,
  type AgentExecutionStatus,
  AgentExecutionStatusSchema,
} from "@stigmer/protos/agentexecution/v1";
import type { ExecutionRecord } from "../store/execution-store.ts";
import type { Store } from "../store/store.ts";
import type { RunStatuses } from "./run-statuses.ts";

/** The stored execution with its status of now, secrets sealed. Undefined when it is gone. */
export async function readExecution(
  { store, runs }: { readonly store: Pick<Store, "executions">; readonly runs: Pick<RunStatuses, "read"> },
  id: string,
): Promise<AgentExecution | undefined> {
  const record = await store.executions.get(id);
  const status = record && (await runs.read(id, record));
  return status && assembleExecution(record, status);
}

/** Joins what is stored apart: who made the run when stands in its body, all else of the status in the log. */
export function assembleExecution(record: ExecutionRecord, status: AgentExecutionStatus): AgentExecution {
  const execution = fromBinary(AgentExecutionSchema, record.body);
  status.audit = execution.status?.audit;
  execution.status = status;
  return execution;
}

/** A run without what was said in it, which lists do not show. */
export function summarizeExecution(record: ExecutionRecord): AgentExecution {
  const { phase, error, startedAt, completedAt, revision } = record;
  const status = create(AgentExecutionStatusSchema, { phase, error, startedAt, completedAt, revision });
  return assembleExecution(record, status);
}
