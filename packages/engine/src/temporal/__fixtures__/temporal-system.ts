import { randomUUID } from "node:crypto";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { Code, createRouterTransport, type Transport } from "@connectrpc/connect";
import {
  type AgentExecution,
  AgentExecutionSchema,
  type AgentExecutionSpec,
  AgentExecutionSpecSchema,
  type AgentExecutionStatus,
  AgentExecutionStatusSchema,
  ExecutionPhase,
} from "@stigmer/protos/agentexecution/v1";
import { RunnerController } from "@stigmer/protos/runner/v1";
import { Connection } from "@temporalio/client";
import type { ReportedEnd } from "../../conformance/index.ts";
import { type Activities, type ActivityContext, DEFAULT_ACTIVITY_QUEUE } from "../../contract.ts";
import { quiet } from "../../embedded/__fixtures__/server.ts";
import { createWire, type Wire } from "../../embedded/__fixtures__/wire.ts";
import type { FinishedExecution } from "../../embedded/create-engine.ts";
import { createMemoryQueueStore, type MemoryQueueStore } from "../../embedded/memory-queue-store.ts";
import type { Logger } from "../../engine.ts";
import type { WakeUps } from "../../wake-ups.ts";
import {
  createTemporalEngine,
  type TemporalEngine,
  type TemporalEngineOptions,
} from "../create-temporal-engine.ts";
import { createTemporalWorker, type TemporalWorker } from "../create-temporal-worker.ts";
import type { DevServer } from "./dev-server.ts";
import { startTcpProxy } from "./tcp-proxy.ts";

/** A server with its engine, and runners, in a namespace of a Temporal that others may share. */
export interface TemporalSystem {
  readonly namespace: string;
  readonly queue: MemoryQueueStore;
  /** The engine of the server that runs now. */
  readonly engine: TemporalEngine;
  readonly ends: ReportedEnd[];
  readonly finished: FinishedExecution[];
  /** Called before an end is stored; what it throws, the store "throws". */
  beforeFinish: (executionId: string) => void;
  readonly executions: Map<string, AgentExecution>;
  /** A way to the engine that runs now. */
  readonly transport: () => Transport;
  /** What was logged as a warning or an error. */
  readonly complaints: string[];
  /** Stores an execution and its place in the queue. */
  submit(execution: { readonly id: string; readonly sessionId: string }, spec?: SubmittedSpec, place?: { readonly queue?: string }): Promise<void>;
  startRunner(options: RunnerSetup): Promise<SystemRunner>;
  fenceOf(executionId: string): Promise<number>;
  /** Stores a status of this fence that says that the execution rests by itself. */
  comeToRest(executionId: string, fence: number): Promise<void>;
  isPaused(executionId: string): Promise<boolean>;
  /** Whether Temporal has heard from the activity under way that it got ahead. */
  knowsProgress(executionId: string): Promise<boolean>;
  /** Closes the engine and starts another one on the same data. */
  restartServer(): Promise<void>;
  /** Kills Temporal and starts it again. */
  restartEngine(): Promise<void>;
  dispose(): Promise<void>;
}

type SubmittedSpec = Exclude<MessageInitShape<typeof AgentExecutionSpecSchema>, AgentExecutionSpec>;

export interface RunnerSetup {
  readonly activities: Activities;
  readonly maxConcurrency?: number;
  /** Default 100. */
  readonly checkMs?: number;
  /** Default 300. */
  readonly heartbeatMs?: number;
  readonly wakeUps?: WakeUps;
}

export interface SystemRunner {
  readonly worker: TemporalWorker;
  readonly wire: Wire;
  /** Cuts both its ways, to Temporal and to the server, without a word. */
  crash(): Promise<void>;
  /** The same, until `reconnect`. */
  cutOff(): Promise<void>;
  reconnect(): Promise<void>;
  drain(options: { readonly deadlineMs: number }): Promise<void>;
}

export async function startTemporalSystem(
  dev: DevServer,
  options: Partial<TemporalEngineOptions> = {},
): Promise<TemporalSystem> {
  const queue = createMemoryQueueStore();
  const namespace = options.namespace ?? dev.freshNamespace();
  const executions = new Map<string, AgentExecution>();
  const ends: ReportedEnd[] = [];
  const finished: FinishedExecution[] = [];
  const complaints: string[] = [];
  const complain = (fields: object, message: string): void =>
    void complaints.push(`${message} ${JSON.stringify({ ...fields, err: undefined })}`);
  const logger: Logger = { ...quiet, warn: complain, error: complain };
  const cleanups: (() => Promise<void>)[] = [];

  const finish = (executionId: string, status: AgentExecutionStatus): void => {
    const execution = executions.get(executionId);
    if (execution) executions.set(executionId, create(AgentExecutionSchema, { ...execution, status }));
    ends.push({ executionId, phase: status.phase, error: status.error });
  };
  const start = (): Promise<TemporalEngine> =>
    createTemporalEngine({
      address: dev.address,
      namespace,
      queue,
      loadExecution: async (id) => executions.get(id),
      onFinished: async (execution) => {
        system.beforeFinish(execution.executionId);
        finished.push(execution);
        finish(execution.executionId, execution.status);
      },
      onExhausted: async (executionId, error) => {
        finish(executionId, create(AgentExecutionStatusSchema, { phase: ExecutionPhase.EXECUTION_FAILED, error }));
      },
      logger,
      ...options,
    });
  let engine = await start();
  const connection = Connection.lazy({ address: dev.address });
  const transport = (): Transport =>
    createRouterTransport(({ service }) => service(RunnerController, engine.runnerService));

  const system: TemporalSystem = {
    beforeFinish: () => {},
    queue,
    namespace,
    executions,
    ends,
    finished,
    complaints,
    transport,
    get engine() {
      return engine;
    },
    submit: async ({ id, sessionId }, more = {}, { queue: name = DEFAULT_ACTIVITY_QUEUE } = {}) => {
      const spec = create(AgentExecutionSpecSchema, { message: "Hello", ...more, sessionId });
      executions.set(id, create(AgentExecutionSchema, { metadata: { id }, spec }));
      const place = { queue: name, payload: new Uint8Array(), createdAt: Date.now() };
      await queue.enqueue({ id, kind: "execution", sessionId, org: "", ...place });
    },
    startRunner: async ({ activities, maxConcurrency = 1, checkMs = 100, heartbeatMs = 300, wakeUps }) => {
      const wire = createWire(transport);
      const proxy = await startTcpProxy(dev.port);
      const worker = createTemporalWorker({
        address: proxy.address,
        namespace,
        transport: wire,
        activities,
        runnerId: `runner-${randomUUID().slice(0, 8)}`,
        maxConcurrency,
        version: "1",
        logger: quiet,
        heartbeatMs,
        checkMs,
        wakeUps,
      });
      const running = worker.run();
      running.catch(() => {});
      cleanups.push(async () => {
        const drained = worker.drain({ deadlineMs: 0 });
        // A runner that "crashed" has to be able to stop; what it does then, nobody looks at.
        proxy.heal();
        await drained;
        await running.catch(() => {});
        await proxy.close();
      });
      await worker.ready;
      const cutOff = async (): Promise<void> => {
        proxy.cut();
        wire.cut(Code.Unavailable);
      };
      return {
        worker,
        wire,
        crash: cutOff,
        cutOff,
        reconnect: async () => {
          proxy.heal();
          wire.heal();
        },
        drain: (drain) => worker.drain(drain),
      };
    },
    comeToRest: (taskId, fence) => queue.comeToRest({ taskId, fence }),
    isPaused: async (id) => (await queue.find(id))?.pauseReason !== undefined,
    fenceOf: async (id) => (await queue.find(id))?.fence ?? 0,
    knowsProgress: async (workflowId) => {
      const { pendingActivities } = await connection.workflowService.describeWorkflowExecution({
        namespace,
        execution: { workflowId },
      });
      const told = pendingActivities.flatMap(({ heartbeatDetails }) => heartbeatDetails?.payloads ?? []);
      return told.some(({ data }) => Buffer.from(data ?? []).includes('"progressed":true'));
    },
    restartEngine: () => dev.restart(),
    restartServer: async () => {
      await engine.close();
      engine = await start();
    },
    dispose: async () => {
      await Promise.all(cleanups.map((cleanup) => cleanup()));
      await engine.close();
      await connection.close();
    },
  };
  return system;
}

/** Activities of which only the run matters. */
export function activitiesOf(
  run: (execution: AgentExecution, context: ActivityContext, threadId: string) => Promise<AgentExecutionStatus>,
): Activities {
  return {
    ensureThread: async (sessionId) => `thread-${sessionId}`,
    executeGraphton: (execution, threadId, context) => run(execution, context, threadId ?? ""),
    cleanupSandbox: async () => {},
  };
}

export function completed(): AgentExecutionStatus {
  return create(AgentExecutionStatusSchema, { phase: ExecutionPhase.EXECUTION_COMPLETED });
}

/** The reason, once there is one. */
export function aborted(signal: AbortSignal): Promise<unknown> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve(signal.reason);
    signal.addEventListener("abort", () => resolve(signal.reason), { once: true });
  });
}
