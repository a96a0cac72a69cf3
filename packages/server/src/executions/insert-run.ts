import { create, toBinary } from "@bufbuild/protobuf";
import {
  type AgentExecution,
  AgentExecutionSchema,
  type AgentExecutionStatus,
  AgentExecutionStatusSchema,
  ExecutionPhase,
} from "@stigmer/protos/agentexecution/v1";
import type { StoreTransaction } from "../store/store.ts";

export interface InsertedRun {
  /** Complete, with ids, session and agent, and its secrets sealed or masked. */
  readonly execution: AgentExecution;
  readonly taskQueue: string;
  /** Milliseconds since 1970. */
  readonly createdAt: number;
}

/** Stores a run and its place in the queue, which go together. Throws `StoreError` `already-exists` when the id is taken. */
export async function insertRun(
  tx: Pick<StoreTransaction, "executions" | "tasks">,
  { execution, taskQueue, createdAt }: InsertedRun,
): Promise<AgentExecutionStatus> {
  const { id = "", org = "", name = "", labels = {}, tags = [] } = execution.metadata ?? {};
  const { sessionId = "", agentId = "", callbackToken } = execution.spec ?? {};
  const phase = ExecutionPhase.EXECUTION_PENDING;
  const status = create(AgentExecutionStatusSchema, { phase, callbackToken });
  const inserting = tx.executions.insert({
    id,
    org,
    name,
    labels,
    tags,
    sessionId,
    agentId,
    phase,
    error: "",
    startedAt: "",
    completedAt: "",
    createdAt,
    body: toBinary(AgentExecutionSchema, execution),
    snapshot: toBinary(AgentExecutionStatusSchema, status),
  });
  const enqueuing = tx.tasks.enqueue({
    id,
    kind: "execution",
    queue: taskQueue,
    sessionId,
    org,
    payload: new Uint8Array(),
    createdAt,
  });
  await Promise.all([inserting, enqueuing]);
  return status;
}
