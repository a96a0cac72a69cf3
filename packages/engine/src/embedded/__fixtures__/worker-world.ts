import { create } from "@bufbuild/protobuf";
import {
  type AgentExecutionStatus,
  AgentExecutionStatusSchema,
  ExecutionPhase,
} from "@stigmer/protos/agentexecution/v1";
import { until } from "../../conformance/until.ts";
import type { Activities, ActivityContext } from "../../contract.ts";
import { ActivityStop } from "../../errors.ts";
import type { EmbeddedEngineOptions } from "../create-engine.ts";
import { createEmbeddedWorker, type EmbeddedWorker, type EmbeddedWorkerOptions } from "../create-worker.ts";
import type { ManualClock } from "./manual-clock.ts";
import { rest } from "./rest.ts";
import { createFixtureServer, type FixtureServer, quiet } from "./server.ts";
import { createWire, type Wire } from "./wire.ts";

// A worker at work for an engine, over a wire that can break.

const closing: (() => Promise<unknown>)[] = [];
export async function closeWorlds(): Promise<void> {
  for (const close of closing.splice(0).toReversed()) await close();
}

export interface WorkerWorld {
  readonly server: FixtureServer;
  readonly wire: Wire;
  readonly worker: EmbeddedWorker;
  /** Rejects when the worker does. */
  readonly running: Promise<void>;
  readonly run: (...ids: readonly string[]) => Promise<void>;
}

export interface WorkerWorldOptions extends Partial<Omit<EmbeddedWorkerOptions, "activities">> {
  readonly engine?: Partial<EmbeddedEngineOptions>;
  readonly activities?: Partial<Activities>;
}

export function world({ engine, activities, ...options }: WorkerWorldOptions = {}): WorkerWorld {
  const server = createFixtureServer(engine);
  const wire = createWire(server.transport);
  const worker = createEmbeddedWorker({
    transport: wire,
    activities: {
      ensureThread: async () => "thread",
      executeGraphton: async () => completed(),
      cleanupSandbox: async () => {},
      ...activities,
    },
    runnerId: "r1",
    maxConcurrency: 2,
    version: "1",
    logger: quiet,
    ...options,
  });
  const running = worker.run();
  running.catch(() => {});
  closing.push(
    () => server.engine.close(),
    () => worker.drain({ deadlineMs: 0 }),
  );
  const run = async (...ids: readonly string[]): Promise<void> => {
    for (const id of ids) {
      await server.submit({ id, sessionId: `session of ${id}` });
      await server.engine.start(id);
    }
  };
  return { server, wire, worker, running, run };
}

export function completed(): AgentExecutionStatus {
  return create(AgentExecutionStatusSchema, {
    phase: ExecutionPhase.EXECUTION_COMPLETED,
    revision: 7,
    messages: [{ content: "long" }],
  });
}

/** An activity that goes on until the test ends it. */
export function gated(): {
  readonly contexts: ActivityContext[];
  readonly open: () => void;
  readonly executeGraphton: Activities["executeGraphton"];
} {
  const contexts: ActivityContext[] = [];
  const gate = Promise.withResolvers<void>();
  return {
    contexts,
    open: () => gate.resolve(),
    executeGraphton: async (_execution, _threadId, context) => {
      contexts.push(context);
      const stop = new Promise<never>((_resolve, reject) => {
        context.signal.addEventListener("abort", () => reject(context.signal.reason as Error), { once: true });
      });
      await Promise.race([gate.promise, stop]);
      return completed();
    },
  };
}

export const stopOf = ({ signal }: ActivityContext): string => (ActivityStop.is(signal.reason) ? signal.reason.kind : "none");

/** Lets a heartbeat's time come, and waits until it is answered. */
export async function beat(clock: ManualClock, wire: Wire): Promise<void> {
  const before = wire.answered("heartbeat");
  await rest();
  clock.advance(3_334);
  await until(() => wire.answered("heartbeat") > before, "the heartbeat");
}
