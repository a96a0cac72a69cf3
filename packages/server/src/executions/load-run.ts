import { fromBinary } from "@bufbuild/protobuf";
import { AgentExecutionStatusSchema, StatusDeltaSchema } from "@stigmer/protos/agentexecution/v1";
import { createStatusFold, isTerminal, type StatusFold } from "@stigmer/status";
import type { ExecutionRecord, ExecutionStore, StatusLogRow } from "../store/execution-store.ts";

/** A run's status in memory. */
export interface LoadedRun {
  readonly fold: StatusFold;
  /** Whose run it is. */
  readonly home: Pick<ExecutionRecord, "org" | "sessionId" | "agentId">;
  revision: number;
  ended: boolean;
  /** Size of the log since the snapshot, in bytes. */
  logBytes: number;
  /** Size of the status at the snapshot. */
  snapshotBytes: number;
}

/** Another server may write between reading and writing; then all is read again, this often. */
export const MAX_ATTEMPTS = 5;

/** Undefined when there is no such run. `known`: what the caller has just seen of it, which is as good as a first look. */
export async function loadRun(
  executions: ExecutionStore,
  id: string,
  known?: ExecutionRecord,
): Promise<LoadedRun | undefined> {
  for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
    const record = attempt === 0 && known ? known : await executions.get(id);
    const snapshot = record && (await executions.snapshot(id));
    if (!snapshot) return undefined;
    // A run that nobody has worked on has no log.
    const isWhole = snapshot.revision >= record.revision;
    const log = isWhole ? [] : await executions.log(id, snapshot.revision);
    // Each is read on its own: a compaction in between shows as a gap, or as a log that is shorter than the run.
    const revision = snapshot.revision + log.length;
    if (!continues(log, snapshot.revision) || revision < record.revision) continue;
    const fold = createStatusFold(fromBinary(AgentExecutionStatusSchema, snapshot.status));
    for (const { delta } of log) fold.apply(fromBinary(StatusDeltaSchema, delta));
    const { org, sessionId, agentId } = record;
    return {
      fold,
      home: { org, sessionId, agentId },
      revision,
      ended: record.ended || isTerminal(fold.status.phase),
      logBytes: log.reduce((sum, { delta }) => sum + delta.length, 0),
      snapshotBytes: snapshot.status.length,
    };
  }
  throw new Error(`The status of ${id} changed faster than it could be read.`);
}

/** Whether the rows go on where `revision` ends, without a gap. */
export function continues(rows: readonly StatusLogRow[], revision: number): boolean {
  return rows.every((row, index) => row.revision === revision + index + 1);
}
