import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create, toBinary } from "@bufbuild/protobuf";
import {
  AgentExecutionSchema,
  type AgentExecutionStatus,
  AgentExecutionStatusSchema,
  ExecutionPhase,
} from "@stigmer/protos/agentexecution/v1";
import { createStatusFold, type StatusFold } from "@stigmer/status";
import { expect } from "vitest";
import { announceRuns } from "../../fanout/announce-runs.ts";
import type { Fanout } from "../../fanout/fanout.ts";
import { silentLogger } from "../../logger.ts";
import { openSqliteStore } from "../../store/sqlite/create-store.ts";
import type { Store } from "../../store/store.ts";
import { createRunStatuses, type RunStatuses, type RunStatusesOptions } from "../run-statuses.ts";
import type { RunEvent } from "../watcher.ts";
import { deltaOf } from "./open-runs.ts";

/** What of a server takes part in the live path. */
export interface LiveServer {
  readonly store: Store;
  readonly runs: RunStatuses;
  readonly fanout: Fanout;
}

export interface NewRun {
  readonly sessionId?: string;
  readonly agentId?: string;
  readonly org?: string;
  readonly createdAt?: number;
}

export interface OpenServers {
  readonly servers: readonly LiveServer[];
  dispose(): Promise<void>;
}

export interface OpenServersOptions extends Partial<Omit<RunStatusesOptions, "store" | "fanout">> {
  /** One for each server. */
  readonly fanouts: readonly Fanout[];
  /** Opens what all of them share. Default: SQLite, in a directory of its own. */
  readonly openStore?: () => Promise<Store>;
}

/** Servers over one store, each with a handle of its own. */
export async function openServers(options: OpenServersOptions): Promise<OpenServers> {
  const { fanouts, openStore, ...runsOptions } = options;
  const dataDir = mkdtempSync(join(tmpdir(), "stigmer-servers-"));
  const servers: LiveServer[] = [];
  for (const fanout of fanouts) {
    const opened = openStore ? await openStore() : openSqliteStore({ dataDir });
    const runs = createRunStatuses({ logger: silentLogger, ...runsOptions, store: opened, fanout });
    servers.push({ store: announceRuns(opened, runs), runs, fanout });
  }
  return {
    servers,
    dispose: async () => {
      for (const { runs, fanout, store } of servers) {
        runs.close();
        await fanout.close();
        await store.close();
      }
      rmSync(dataDir, { recursive: true });
    },
  };
}

let counted = 0;

/** Stores a run under way that no runner has; answers its id. */
export async function addRun({ store }: LiveServer, run: NewRun = {}): Promise<string> {
  counted += 1;
  const id = `aex-${String(counted).padStart(26, "0")}`;
  const { sessionId = "ses-1", agentId = "agt-1", org = "local", createdAt = counted } = run;
  const phase = ExecutionPhase.EXECUTION_PENDING;
  await store.transaction((tx) =>
    tx.executions.insert({
      id,
      org,
      name: id,
      sessionId,
      agentId,
      labels: {},
      tags: [],
      phase,
      error: "",
      startedAt: "",
      completedAt: "",
      createdAt,
      body: toBinary(AgentExecutionSchema, create(AgentExecutionSchema, { metadata: { id } })),
      snapshot: toBinary(AgentExecutionStatusSchema, create(AgentExecutionStatusSchema, { phase })),
    }),
  );
  return id;
}

const sequences = new Map<string, number>();

/** Changes a run as its runner does; answers the revision. */
export function patch({ runs }: LiveServer, executionId: string, ...changes: Parameters<typeof deltaOf>): Promise<number> {
  const sequence = (sequences.get(executionId) ?? 0) + 1;
  sequences.set(executionId, sequence);
  return runs.patch({ executionId, fence: 0, sequence, delta: deltaOf(...changes) });
}

/** Follows a run in the background, and checks on the way that every revision comes once and in order, and every hash is right. */
export interface Follower {
  readonly events: readonly RunEvent[];
  readonly fold: StatusFold | undefined;
  readonly revision: number;
  /** Resolves when it is at this revision or beyond. */
  reach(revision: number): Promise<void>;
  /** Resolves when the run's end was told; rejects with the error that it ended with. */
  readonly ended: Promise<void>;
  stop(): void;
}

export function followRun({ runs }: LiveServer, id: string, afterRevision = 0, from?: AgentExecutionStatus): Follower {
  const controller = new AbortController();
  const events: RunEvent[] = [];
  const waiting: { readonly revision: number; readonly resolve: () => void }[] = [];
  let fold = from && createStatusFold(from);
  let revision = afterRevision;
  const ended = (async () => {
    for await (const event of runs.follow(id, { mode: "deltas", afterRevision, signal: controller.signal })) {
      expect(event.revision).toBeGreaterThan(event.kind === "snapshot" ? revision - 1 : revision);
      events.push(event);
      if (event.kind === "snapshot") fold = createStatusFold(event.status);
      else fold?.apply(event.delta);
      if (event.stateHash) expect(fold?.hash()).toBe(event.stateHash);
      ({ revision } = event);
      for (const each of waiting.splice(0)) {
        if (each.revision <= revision) each.resolve();
        else waiting.push(each);
      }
    }
  })();
  // Looked at by the test in the end.
  ended.catch(() => {});
  return {
    events,
    get fold() {
      return fold;
    },
    get revision() {
      return revision;
    },
    reach: (wanted) =>
      wanted <= revision
        ? Promise.resolve()
        : new Promise((resolve, reject) => {
            waiting.push({ revision: wanted, resolve });
            ended.catch(reject);
          }),
    ended,
    stop: () => controller.abort(),
  };
}
