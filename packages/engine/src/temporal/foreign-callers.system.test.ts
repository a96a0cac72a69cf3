import { create } from "@bufbuild/protobuf";
import { Code, ConnectError, createRouterTransport } from "@connectrpc/connect";
import { AgentExecutionStatusSchema, ExecutionPhase } from "@stigmer/protos/agentexecution/v1";
import { RunnerController } from "@stigmer/protos/runner/v1";
import { WorkflowFailedError } from "@temporalio/client";
import { ActivityFailure, ApplicationFailure } from "@temporalio/common";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { until } from "../conformance/until.ts";
import type { Activities } from "../contract.ts";
import { quiet } from "../embedded/__fixtures__/server.ts";
import { ActivityStop } from "../errors.ts";
import { type DevServer, startDevServer } from "./__fixtures__/dev-server.ts";
import type { ForeignMessage } from "./__fixtures__/foreign-converter.ts";
import { type ForeignWorker, startForeignWorker } from "./__fixtures__/foreign-worker.ts";
import { aborted, activitiesOf, completed, startTemporalSystem } from "./__fixtures__/temporal-system.ts";
import { createTemporalWorker } from "./create-temporal-worker.ts";

const EXECUTION = "ai.stigmer.agentic.agentexecution.v1.AgentExecution";

let dev: DevServer;
let foreign: ForeignWorker;
let namespace: string;
beforeAll(async () => {
  dev = await startDevServer();
  namespace = dev.freshNamespace();
  foreign = await startForeignWorker(dev, namespace);
});
afterAll(async () => {
  await foreign?.close();
  await dev?.dispose();
});

function executionOf(id: string): ForeignMessage {
  const spec = { sessionId: "ses-1", agentId: "agt-1", message: "Hé 👋", fieldOfTomorrow: [1, 2] };
  return { messageType: EXECUTION, json: { metadata: { id }, spec } };
}

/** A runner of ours for another author's workflows, whose server knows nothing of claims. */
async function withRunner(activities: Activities, body: () => Promise<void>): Promise<void> {
  const worker = createTemporalWorker({
    address: dev.address,
    namespace,
    transport: createRouterTransport(({ service }) => service(RunnerController, {})),
    activities,
    runnerId: "runner-1",
    maxConcurrency: 2,
    version: "1",
    logger: quiet,
    heartbeatMs: 300,
  });
  const running = worker.run();
  await worker.ready;
  try {
    await body();
  } finally {
    await worker.drain({ deadlineMs: 0 });
    await running;
  }
}

describe("another author's workflow drives our runner", () => {
  test("by two arguments of proto JSON, without a fence, and gets proto JSON back", async () => {
    const calls: unknown[] = [];
    const activities: Activities = {
      ensureThread: async (sessionId, agentId) => {
        calls.push([sessionId, agentId]);
        return "thread-1";
      },
      executeGraphton: async ({ metadata, spec }, threadId, { fence, attempt, inbox }) => {
        calls.push([metadata?.id, spec?.message, threadId, fence, attempt, inbox.items]);
        return completed();
      },
      cleanupSandbox: async (input) => void calls.push(input),
    };
    await withRunner(activities, async () => {
      const { client, taskQueue } = foreign;
      const args = [executionOf("aex-1")];
      const result: unknown = await client.workflow.execute("foreignInvoke", { workflowId: "f-1", taskQueue, args });
      expect(result).toEqual({
        messageType: "ai.stigmer.agentic.agentexecution.v1.AgentExecutionStatus",
        json: { phase: "EXECUTION_COMPLETED" },
      });
      await client.workflow.execute("foreignCleanup", { workflowId: "f-2", taskQueue, args: ["sbx-1"] });
      expect(calls).toEqual([
        ["ses-1", "agt-1"],
        ["aex-1", "Hé 👋", "thread-1", 0, 1, []],
        { sandboxId: "sbx-1", sessionId: "", workspaceDir: "", sandboxType: 0 },
      ]);
    });
  });

  test("which leaves retries to Temporal: a fault of the infrastructure is tried again", async () => {
    const attempts: number[] = [];
    const activities = activitiesOf(async (_execution, { attempt }) => {
      attempts.push(attempt);
      if (attempt < 3) throw new Error("disk full");
      return completed();
    });
    await withRunner(activities, async () => {
      const { client, taskQueue } = foreign;
      await client.workflow.execute("foreignInvoke", { workflowId: "f-3", taskQueue, args: [executionOf("aex-3")] });
      expect(attempts).toEqual([1, 2, 3]);
    });
  });

  test("whose cancel reaches the activity with its next heartbeat", async () => {
    let stop: unknown;
    let running = false;
    const activities = activitiesOf(async (_execution, { signal }) => {
      running = true;
      stop = await aborted(signal);
      return create(AgentExecutionStatusSchema, { phase: ExecutionPhase.EXECUTION_CANCELLED });
    });
    await withRunner(activities, async () => {
      const { client, taskQueue } = foreign;
      const args = [executionOf("aex-4")];
      const handle = await client.workflow.start("foreignInvoke", { workflowId: "f-4", taskQueue, args });
      await until(() => running, "the run");
      await handle.cancel();
      await until(() => stop !== undefined, "the stop");
      expect(ActivityStop.is(stop) && stop.kind).toBe("cancelled");
    });
  });

  test("and is told at once what no attempt can do", async () => {
    await withRunner(
      activitiesOf(async () => completed()),
      async () => {
        const { client, taskQueue } = foreign;
        const args = [{ messageType: EXECUTION, json: { spec: { sessionId: "ses-1", agentId: "" } } }];
        const error: unknown = await client.workflow
          .execute("foreignInvoke", { workflowId: "f-5", taskQueue, args })
          .catch((cause: unknown) => cause);
        const failure =
          error instanceof WorkflowFailedError && error.cause instanceof ActivityFailure && error.cause.cause;
        expect(failure).toMatchObject({ message: "ExecuteGraphton was called with an execution without an id." });
      },
    );
  });
});

describe("another author's workflow waits for a run by its callback token", () => {
  /** Starts a workflow that waits, and a run with its token; answers how the waiting ended. */
  async function call(id: string, activities: Activities): Promise<unknown> {
    const { client, taskQueue, tokens } = foreign;
    const earlier = tokens.length;
    const handle = await client.workflow.start("callAgent", { workflowId: `caller-of-${id}`, taskQueue, args: [] });
    await until(() => tokens.length > earlier, "the token");
    const system = await startTemporalSystem(dev, { namespace });
    try {
      await system.startRunner({ activities });
      await system.submit({ id, sessionId: `ses-of-${id}` }, { callbackToken: tokens.at(-1) ?? new Uint8Array() });
      await system.engine.start(id);
      return await handle.result().catch((error: unknown) => error);
    } finally {
      await system.dispose();
    }
  }

  test("and gets the final execution, without the token", async () => {
    const result = await call(
      "aex-called",
      activitiesOf(async () => completed()),
    );
    expect(result).toEqual({
      messageType: EXECUTION,
      json: {
        metadata: { id: "aex-called" },
        spec: { sessionId: "ses-of-aex-called", message: "Hello" },
        status: { phase: "EXECUTION_COMPLETED" },
      },
    });
  });

  test("and fails with the run's error, the execution beside it", async () => {
    const status = create(AgentExecutionStatusSchema, {
      phase: ExecutionPhase.EXECUTION_FAILED,
      error: "no such model",
    });
    const result = await call(
      "aex-failing",
      activitiesOf(async () => status),
    );
    const failure =
      result instanceof WorkflowFailedError && result.cause instanceof ActivityFailure && result.cause.cause;
    if (!(failure instanceof ApplicationFailure)) throw new Error("Expected an ApplicationFailure.", { cause: result });
    expect([failure.message, failure.type]).toEqual(["no such model", "stigmer.execution.failed"]);
    expect(failure.details?.[0]).toMatchObject({ json: { status: { phase: "EXECUTION_FAILED" } } });
  });

  test("and is told of a cancel that came before any runner", async () => {
    const { client, taskQueue, tokens } = foreign;
    const handle = await client.workflow.start("callAgent", { workflowId: "caller-3", taskQueue, args: [] });
    const earlier = tokens.length;
    await until(() => tokens.length > earlier || earlier >= 3, "the token");
    const system = await startTemporalSystem(dev, { namespace });
    await system.submit({ id: "aex-waits", sessionId: "ses-w" }, { callbackToken: tokens.at(-1) ?? new Uint8Array() });
    await system.queue.pause("aex-waits", "not yet");
    await system.engine.cancel("aex-waits", "changed my mind");
    const error: unknown = await handle.result().catch((cause: unknown) => cause);
    const failure = error instanceof WorkflowFailedError && error.cause instanceof ActivityFailure && error.cause.cause;
    expect(failure).toMatchObject({ message: "changed my mind", type: "stigmer.execution.cancelled" });
    await system.dispose();
  });

  test("a token that nobody waits for any more, or that is none, keeps no run from its end", async () => {
    const system = await startTemporalSystem(dev, { namespace });
    await system.startRunner({ activities: activitiesOf(async () => completed()) });
    const [used = new Uint8Array()] = foreign.tokens;
    await system.submit({ id: "aex-late", sessionId: "ses-l" }, { callbackToken: used });
    await system.submit({ id: "aex-bad", sessionId: "ses-l" }, { callbackToken: new Uint8Array([1, 2, 3]) });
    await system.engine.start("aex-late");
    await until(async () => (await system.queue.counts()).leased === 0 && system.ends.length === 2, "both ends");
    expect(system.ends.map(({ phase }) => phase)).toEqual([
      ExecutionPhase.EXECUTION_COMPLETED,
      ExecutionPhase.EXECUTION_COMPLETED,
    ]);
    await system.dispose();
  });
});

test("a run that the server does not know, or that is over, is refused to its runner", async () => {
  for (const code of [Code.NotFound, Code.FailedPrecondition]) {
    const server = createRouterTransport(({ service }) =>
      service(RunnerController, {
        claimExecution: () => {
          throw new ConnectError("it is not to be run", code);
        },
      }),
    );
    const own = dev.freshNamespace();
    const author = await startForeignWorker(dev, own);
    let ran = false;
    const activities = activitiesOf(async () => {
      ran = true;
      return completed();
    });
    const options = { runnerId: "r", maxConcurrency: 1, version: "1", logger: quiet };
    const worker = createTemporalWorker({
      address: dev.address,
      namespace: own,
      transport: server,
      activities,
      ...options,
    });
    const running = worker.run();
    const error: unknown = await author.client.workflow
      .execute("foreignInvoke", { workflowId: "f", taskQueue: author.taskQueue, args: [executionOf("aex-9")] })
      .catch((cause: unknown) => cause);
    const failure = error instanceof WorkflowFailedError && error.cause instanceof ActivityFailure && error.cause.cause;
    expect(failure).toMatchObject({ message: "it is not to be run", type: "stigmer.Refused" });
    expect(ran).toBe(false);
    await worker.drain({ deadlineMs: 0 });
    await running;
    await author.close();
  }
});

test("a run of another author's workflow rests in its activity, and goes on there", async () => {
  const own = dev.freshNamespace();
  const author = await startForeignWorker(dev, own);
  const system = await startTemporalSystem(dev, { namespace: own, runnerTaskQueue: "of-nobody" });
  const calls: string[] = [];
  await system.startRunner({
    activities: activitiesOf(async (execution, { pause, attempt, fence }) => {
      calls.push(`${execution.metadata?.id ?? ""} ${String(attempt)} ${String(fence)}`);
      if (calls.length === 1) throw new ActivityStop("paused", "look at this");
      if (calls.length === 2) {
        const rest = await aborted(pause);
        calls.push((rest as ActivityStop).message);
        throw rest;
      }
      return completed();
    }),
  });
  // The run is this server's, which gives it out by a queue that nobody listens on: it is the other author's to run.
  await system.submit({ id: "aex-1", sessionId: "ses-1" }, {}, { queue: "of-nobody" });
  await system.engine.start("aex-1");
  await until(async () => (await system.queue.find("aex-1"))?.runnerId === "temporal", "the lease");
  const options = { workflowId: "of-another", taskQueue: author.taskQueue, args: [executionOf("aex-1")] };
  const handle = await author.client.workflow.start("foreignInvoke", options);

  await until(async () => (await system.queue.find("aex-1"))?.pauseReason === "look at this", "the rest");
  await system.engine.resume("aex-1");
  await until(() => calls.length === 2, "the run to go on");
  await system.engine.pause("aex-1", "lunch");
  await until(() => calls.length === 3, "the second rest");
  await system.engine.resume("aex-1");
  const result: unknown = await handle.result();
  expect(result).toMatchObject({ json: { phase: "EXECUTION_COMPLETED" } });
  // One attempt of one activity, under one fence.
  expect(calls).toEqual(["aex-1 1 2", "aex-1 1 2", "lunch", "aex-1 1 2"]);
  await system.dispose();
  await author.close();
});
