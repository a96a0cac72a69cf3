import { create } from "@bufbuild/protobuf";
import { createRouterTransport, type Transport } from "@connectrpc/connect";
import { AgentExecutionSchema, ExecutionPhase } from "@stigmer/protos/agentexecution/v1";
import { RunnerController } from "@stigmer/protos/runner/v1";
import type { ReportedEnd } from "../../conformance/index.ts";
import type { Logger } from "../../engine.ts";
import { createEmbeddedEngine, type EmbeddedEngine, type EmbeddedEngineOptions, type FinishedExecution } from "../create-engine.ts";
import { createMemoryQueueStore, type MemoryQueueStore } from "../memory-queue-store.ts";

/** As much of a server as an engine needs: executions, their place in the queue, and their ends. */
export interface FixtureServer {
  readonly queue: MemoryQueueStore;
  /** The engine of the server that runs now. */
  readonly engine: EmbeddedEngine;
  readonly ends: ReportedEnd[];
  readonly finished: FinishedExecution[];
  /** A way to the engine that runs now. */
  readonly transport: () => Transport;
  readonly executions: Map<string, { readonly id: string; readonly sessionId: string }>;
  submit(execution: { readonly id: string; readonly sessionId: string }): Promise<void>;
  /** Closes the engine and starts another one on the same data. */
  restart(): Promise<void>;
}

export const quiet: Logger = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

export function createFixtureServer(options: Partial<EmbeddedEngineOptions> = {}): FixtureServer {
  const queue = createMemoryQueueStore();
  const executions = new Map<string, { readonly id: string; readonly sessionId: string }>();
  const ends: ReportedEnd[] = [];
  const finished: FinishedExecution[] = [];

  const start = (): { engine: EmbeddedEngine; transport: Transport } => {
    const engine = createEmbeddedEngine({
      queue,
      loadExecution: async (id) => {
        const execution = executions.get(id);
        return execution && create(AgentExecutionSchema, { metadata: { id }, spec: { sessionId: execution.sessionId } });
      },
      onFinished: async (execution) => {
        finished.push(execution);
        const { phase, error } = execution.status;
        ends.push({ executionId: execution.executionId, phase, error });
      },
      onExhausted: async (executionId, error) => {
        ends.push({ executionId, phase: ExecutionPhase.EXECUTION_FAILED, error });
      },
      logger: quiet,
      ...options,
    });
    return { engine, transport: createRouterTransport(({ service }) => service(RunnerController, engine.runnerService)) };
  };
  let current = start();

  return {
    queue,
    ends,
    finished,
    executions,
    get engine() {
      return current.engine;
    },
    transport: () => current.transport,
    submit: async ({ id, sessionId }) => {
      executions.set(id, { id, sessionId });
      const place = { queue: "agent_execution_runner", payload: new Uint8Array(), createdAt: 0 };
      await queue.enqueue({ id, kind: "execution", sessionId, org: "", ...place });
    },
    restart: async () => {
      await current.engine.close();
      current = start();
    },
  };
}
