// Runs under a real lease, for whoever plays the runner's part without an agent: the server takes status from nobody else.
import { randomUUID } from "node:crypto";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import type { StigmerClient } from "@stigmer/client";
import { createEmbeddedWorker } from "@stigmer/engine/embedded";
import { AgentSchema } from "@stigmer/protos/agent/v1";
import {
  AgentExecutionSchema,
  AgentExecutionStatusSchema,
  ExecutionPhase,
  StatusDeltaSchema,
  type StatusChangeSchema,
} from "@stigmer/protos/agentexecution/v1";

export interface HeldRun {
  readonly id: string;
  /** Sends one delta as a runner does; resolves with the run's revision when the server has it on disk. */
  patch(...changes: MessageInitShape<typeof StatusChangeSchema>[]): Promise<number>;
}

export interface Holder extends AsyncDisposable {
  /** Creates a run, and takes it. */
  take(): Promise<HeldRun>;
}

const header = { apiVersion: "agentic.stigmer.ai/v1", metadata: { name: "bench" } } as const;

/** At most `most` runs are held, all of them until the end. */
export async function holdRuns(client: StigmerClient, most: number): Promise<Holder> {
  const held = new Map<string, PromiseWithResolvers<number>>();
  const over = Promise.withResolvers<void>();
  const fenceOf = (id: string): PromiseWithResolvers<number> => {
    const known = held.get(id) ?? Promise.withResolvers<number>();
    held.set(id, known);
    return known;
  };
  const worker = createEmbeddedWorker({
    transport: client.transport,
    activities: {
      ensureThread: async (sessionId) => sessionId,
      executeGraphton: async (execution, _threadId, { fence }) => {
        fenceOf(execution.metadata?.id ?? "").resolve(fence);
        await over.promise;
        return create(AgentExecutionStatusSchema, { phase: ExecutionPhase.EXECUTION_COMPLETED });
      },
      cleanupSandbox: async () => {},
    },
    runnerId: randomUUID(),
    maxConcurrency: most,
    version: "0.0.0",
    logger: { debug() {}, info() {}, warn: console.warn, error: console.error },
  });
  const running = worker.run();
  await worker.ready;
  const spec = { instructions: "Do what the person asks." };
  const agent = await client.agents.apply(create(AgentSchema, { ...header, kind: "Agent", spec }));
  const agentId = agent.metadata?.id ?? "";
  return {
    async take() {
      const input = { ...header, kind: "AgentExecution", spec: { agentId, message: "Go." } } as const;
      const run = await client.executions.create(create(AgentExecutionSchema, input));
      const executionId = run.metadata?.id ?? "";
      const fence = await Promise.race([fenceOf(executionId).promise, running.then(() => Promise.reject(ended()))]);
      let sequence = 0;
      return {
        id: executionId,
        patch: (...changes) => {
          sequence += 1;
          const delta = create(StatusDeltaSchema, { changes });
          return client.executions.patchStatus({ executionId, fence, sequence, delta });
        },
      };
    },
    async [Symbol.asyncDispose]() {
      over.resolve();
      await worker.drain({ deadlineMs: 5_000 });
    },
  };
}

function ended(): Error {
  return new Error("The worker ended before it had the run.");
}
