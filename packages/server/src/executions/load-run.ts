import { fromBinary } from "@bufbuild/protobuf";
import { AgentExecutionStatusSchema, StatusDeltaSchema } from "@stigmer/protos/agentexecution/v1";
import type { AgentExecutionStatus } from "@stigmer/protos/agentexecution/v1";
import { createStatusFold, isTerminal, type StatusFold } from "@stigmer/status";
import type { ExecutionRecord, ExecutionStore, StatusLogRow, StatusSnapshot } from "../store/execution-store.ts";

/** A run's status in memory. */
export interface LoadedRun {
  readonly fold: StatusFold;
  /** Whose run it is. */
  readonly home: Pick<ExecutionRecord, "org" | "sessionId" | "agentId">;
  revision: number;
  ended: boolean;
  /** Size of the log since the snapshot, in bytes. */
  logBytes: number;
  /** The revision of the snapshot. */
  snapshotRevision: number;
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
    const stored = record && (await readStored(executions, id, record.revision));
    if (!stored) return undefined;
    if (stored === "moved") continue;
    const { snapshot, log, revision } = stored;
    const fold = foldOf(stored);
    const { org, sessionId, agentId } = record;
    return {
      fold,
      home: { org, sessionId, agentId },
      revision,
      ended: record.ended || isTerminal(fold.status.phase),
      logBytes: log.reduce((sum, { delta }) => sum + delta.length, 0),
      snapshotRevision: snapshot.revision,
      snapshotBytes: snapshot.status.length,
    };
  }
  throw changedTooFast(id);
}

/** The status of a run that has ended; undefined when there is no such run, or it has not. */
export async function readEnded(executions: ExecutionStore, id: string): Promise<AgentExecutionStatus | undefined> {
  for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
    const state = await executions.writeState(id);
    const stored = state?.ended ? await readStored(executions, id, state.revision) : undefined;
    if (!stored) return undefined;
    if (stored === "moved") continue;
    // What was compacted needs no fold.
    const status = stored.log.length > 0 ? foldOf(stored).status : statusOf(stored.snapshot);
    status.revision = stored.revision;
    return status;
  }
  throw changedTooFast(id);
}

interface StoredStatus {
  readonly snapshot: StatusSnapshot;
  readonly log: readonly StatusLogRow[];
  readonly revision: number;
}

/** What there is of a run's status at this revision or a later one. `moved`: others wrote while it was read. */
async function readStored(
  executions: ExecutionStore,
  id: string,
  atLeast: number,
): Promise<StoredStatus | "moved" | undefined> {
  const snapshot = await executions.snapshot(id);
  if (!snapshot) return undefined;
  const log = snapshot.revision >= atLeast ? [] : await executions.log(id, snapshot.revision);
  // Each is read on its own: a compaction in between shows as a gap, or as a log that is shorter than the run.
  const revision = snapshot.revision + log.length;
  return continues(log, snapshot.revision) && revision >= atLeast ? { snapshot, log, revision } : "moved";
}

function foldOf({ snapshot, log }: StoredStatus): StatusFold {
  const fold = createStatusFold(statusOf(snapshot));
  for (const { delta } of log) fold.apply(fromBinary(StatusDeltaSchema, delta));
  return fold;
}

function statusOf({ status }: StatusSnapshot): AgentExecutionStatus {
  return fromBinary(AgentExecutionStatusSchema, status);
}

function changedTooFast(id: string): Error {
  return new Error(`The status of ${id} changed faster than it could be read.`);
}

/** Whether the rows go on where `revision` ends, without a gap. */
export function continues(rows: readonly StatusLogRow[], revision: number): boolean {
  return rows.every((row, index) => row.revision === revision + index + 1);
}
