import type { Context } from "@temporalio/activity";
import { Client, Connection, type WorkflowHandleWithFirstExecutionRunId } from "@temporalio/client";
import { NativeConnection, Worker } from "@temporalio/worker";
import { create } from "@bufbuild/protobuf";
import { type AgentExecution, AgentExecutionSchema } from "@stigmer/protos/agentexecution/v1";
import { INVOKE_AGENT_EXECUTION_WORKFLOW } from "../../contract.ts";
import { attemptArgument } from "../attempt-header.ts";
import { workflowBundle } from "../bundled-workflows.ts";
import { dataConverter } from "../data-converter.ts";
import { quietRuntime } from "../quiet-runtime.ts";
import type { InvokeOptions, KnownRun } from "../workflow-contract.ts";
import { type DevServer, type DevServerOptions, startDevServer } from "./dev-server.ts";

/** The workflows on a real Temporal server, with runners that do what a test says. */
export interface WorkflowWorld {
  readonly client: Client;
  readonly workflowQueue: string;
  /** The queue of this world's runners; new with each call. */
  newQueue(): string;
  /** Starts an execution as the server's engine does. `options.runnerTaskQueue` names who runs it. */
  start(executionId: string, options: InvokeOptions, ...known: readonly KnownRun[]): Promise<WorkflowHandleWithFirstExecutionRunId>;
  /** Takes activities until `stop`. `plain`: as a runner of another origin, which knows nothing of our header. */
  startRunner(queue: string, activities: RunnerActivities, options?: { readonly plain?: boolean }): Promise<Runner>;
  dispose(): Promise<void>;
}

export interface Runner {
  stop(): Promise<void>;
}

/** By their names on the wire, with what the worker hands them. */
export type RunnerActivities = Readonly<Record<string, (...args: never[]) => Promise<unknown>>>;

export async function createWorkflowWorld(options: DevServerOptions = {}): Promise<WorkflowWorld> {
  quietRuntime({ debug() {}, info() {}, warn() {}, error() {} });
  const server = await startDevServer({ namespaces: 0, ...options });
  try {
    return await worldOn(server);
  } catch (error) {
    await server.dispose();
    throw error;
  }
}

async function worldOn(server: DevServer): Promise<WorkflowWorld> {
  const connection = await Connection.connect({ address: server.address });
  const native = await NativeConnection.connect({ address: server.address });
  const client = new Client({ connection, namespace: server.namespace, identity: "server", dataConverter });
  const workflowQueue = "workflows";
  const runners: Runner[] = [];
  let queues = 0;

  const running = async (worker: Worker): Promise<Runner> => {
    const ended = worker.run();
    const runner: Runner = {
      stop: async () => {
        if (worker.getState() === "RUNNING") worker.shutdown();
        await ended;
      },
    };
    runners.push(runner);
    return runner;
  };
  await running(
    await Worker.create({
      connection: native,
      namespace: server.namespace,
      taskQueue: workflowQueue,
      identity: "server",
      workflowBundle: await workflowBundle(),
      dataConverter,
    }),
  );

  return {
    client,
    workflowQueue,
    newQueue: () => `runners-${String((queues += 1))}`,
    start: (executionId, ...more) =>
      client.workflow.start(INVOKE_AGENT_EXECUTION_WORKFLOW, {
        workflowId: executionId,
        taskQueue: workflowQueue,
        args: [executionNamed(executionId), ...more],
      }),
    startRunner: async (taskQueue, activities, { plain = false } = {}) =>
      running(
        await Worker.create({
          connection: native,
          namespace: server.namespace,
          taskQueue,
          identity: "runner",
          activities: activities as Record<string, (...args: unknown[]) => Promise<unknown>>,
          dataConverter,
          shutdownForceTime: "1 second",
          interceptors: plain ? {} : { activity: [(context: Context) => attemptArgument(context)] },
        }),
      ),
    dispose: async () => {
      await Promise.allSettled(runners.map((runner) => runner.stop()));
      await native.close();
      await connection.close();
      await server.dispose();
    },
  };
}

export function executionNamed(id: string): AgentExecution {
  return create(AgentExecutionSchema, {
    metadata: { id, org: "acme" },
    spec: { sessionId: `ses-of-${id}`, agentId: "agt-1", message: "Count the files." },
  });
}
