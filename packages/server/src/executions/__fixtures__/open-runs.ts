import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import {
  AgentExecutionSchema,
  AgentExecutionStatusSchema,
  ExecutionPhase,
  StatusDeltaSchema,
  type StatusDelta,
} from "@stigmer/protos/agentexecution/v1";
import { silentLogger } from "../../logger.ts";
import { openSqliteStore } from "../../store/sqlite/create-store.ts";
import type { Store } from "../../store/store.ts";
import { createRunStatuses, type RunStatuses, type RunStatusesOptions } from "../run-statuses.ts";

export const RUN = "aex-01m7yp6m06v3nf22f78h88f1ad";

/** Runs over a real database, which can be closed and opened again. */
export interface OpenRuns {
  readonly store: Store;
  readonly runs: RunStatuses;
  /** Stores a pending run with its task. */
  addRun(id?: string): Promise<void>;
  /** Leases the run's task, as a runner does; answers its fence. */
  lease(): Promise<number>;
  restart(): Promise<void>;
  dispose(): Promise<void>;
}

export function openRuns(options: Partial<RunStatusesOptions> = {}): OpenRuns {
  const dataDir = mkdtempSync(join(tmpdir(), "stigmer-runs-"));
  let store = openSqliteStore({ dataDir });
  let runs = createRunStatuses({ store, logger: silentLogger, ...options });
  const close = async (): Promise<void> => {
    runs.close();
    await store.close();
  };
  return {
    get store() {
      return store;
    },
    get runs() {
      return runs;
    },
    addRun: async (id = RUN) => {
      const phase = ExecutionPhase.EXECUTION_PENDING;
      const text = { org: "local", name: id, sessionId: "ses-1", agentId: "agt-1", error: "", startedAt: "", completedAt: "" };
      const body = toBinary(AgentExecutionSchema, create(AgentExecutionSchema, { metadata: { id } }));
      const snapshot = toBinary(AgentExecutionStatusSchema, create(AgentExecutionStatusSchema, { phase }));
      await store.transaction(async (tx) => {
        await tx.executions.insert({ id, ...text, labels: {}, tags: [], phase, createdAt: 1, body, snapshot });
        const payload = new Uint8Array();
        await tx.tasks.enqueue({ id, kind: "execution", queue: "q", sessionId: "", org: "", payload, createdAt: 1 });
      });
    },
    lease: async () => {
      const task = await store.queue.lease({ queue: "q", runnerId: "r", now: 1, leaseMs: 1, maxAttempts: 99 });
      if (!task) throw new Error("Nothing waits.");
      return task.fence;
    },
    restart: async () => {
      await close();
      store = openSqliteStore({ dataDir });
      runs = createRunStatuses({ store, logger: silentLogger, ...options });
    },
    dispose: async () => {
      await close();
      rmSync(dataDir, { recursive: true });
    },
  };
}

type DeltaInit = NonNullable<MessageInitShape<typeof StatusDeltaSchema>["changes"]>;

export function deltaOf(...changes: DeltaInit): StatusDelta {
  return create(StatusDeltaSchema, { changes });
}

/** Says something: a message that begins, or goes on from `offset`. */
export function said(messageId: string, text: string, offset = 0): DeltaInit {
  const append = { change: { case: "textAppended" as const, value: { messageId, kind: 1, offset, text } } };
  if (offset > 0) return [append];
  return [{ change: { case: "messageStarted", value: { messageId, type: 2 } } }, append];
}

export function moved(phase: ExecutionPhase, more: { error?: string; startedAt?: string; restsByItself?: boolean } = {}): DeltaInit {
  return [{ change: { case: "run", value: { phase, ...more } } }];
}
