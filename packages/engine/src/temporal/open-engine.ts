import { toBinary } from "@bufbuild/protobuf";
import { InboxItemSchema } from "@stigmer/protos/runner/v1";
import { Client, Connection } from "@temporalio/client";
import { Worker } from "@temporalio/worker";
import { sleep } from "../clock.ts";
import type { Standing } from "../engine.ts";
import { EngineError } from "../errors.ts";
import { accessOf, connect } from "./connect.ts";
import { createConnectionWatch } from "./connection-watch.ts";
import type { TemporalEngine, TemporalEngineSettings } from "./create-temporal-engine.ts";
import { dataConverter } from "./data-converter.ts";
import { createDispatcher } from "./dispatcher.ts";
import { createEnds } from "./ends.ts";
import { keepWorking } from "./keep-working.ts";
import { knownSearchAttributes } from "./known-search-attributes.ts";
import { createLongPolls } from "./long-polls.ts";
import type { Run } from "./run.ts";
import { createRunnerService } from "./runner-service.ts";
import { workflowBundle } from "./bundled-workflows.ts";
import { createWorkflows } from "./workflows.ts";

/** How long the workflow worker may take to stop. It has nothing of value: what it does is done again from the history. */
const STOP_WITHIN_MS = 5_000;

const STICKY_MS = 2_000;

const STANDINGS = { waiting: "waiting", leased: "running", done: "over", unknown: "over" } as const;

/** The engine itself; apart from `createTemporalEngine`, so that Temporal's packages are loaded only when one is made. */
export async function openEngine(settings: TemporalEngineSettings): Promise<TemporalEngine> {
  const { address, namespace, queue, workflowTaskQueue, runnerTaskQueue, loadExecution, logger, clock } = settings;
  const { heartbeatTimeoutMs, maxAttempts, retryDelayMs, onOrder } = settings;
  const native = await connect(settings, logger);
  const connection = Connection.lazy({
    address,
    ...(await accessOf(settings)),
    // The engine repeats calls by itself, and knows better when.
    interceptors: [],
    channelArgs: { "grpc.initial_reconnect_backoff_ms": 100, "grpc.max_reconnect_backoff_ms": 1_000 },
  });
  const closing = new AbortController();
  const client = new Client({ connection, namespace, dataConverter });
  const searchAttributes = await knownSearchAttributes(native, namespace, logger);
  const worker = await keepWorking({
    create: async () =>
      Worker.create({
        connection: native,
        namespace,
        taskQueue: workflowTaskQueue,
        workflowBundle: await workflowBundle(),
        dataConverter,
        // How long Temporal waits for a server that has gone before it asks another one: the next step of every run of it.
        stickyQueueScheduleToStartTimeout: STICKY_MS,
      }),
    what: "workflows",
    logger,
    clock,
  }).catch(async (error: unknown) => {
    await connection.close();
    await native.close();
    throw error;
  });

  const watch = createConnectionWatch({
    address,
    ask: (deadline) => connection.withDeadline(deadline, () => client.workflowService.getSystemInfo({})),
    onBack: () => dispatcher.kick(),
    logger,
    clock,
  });
  const workflows = createWorkflows({
    client,
    workflowTaskQueue,
    invokeOptions: { runnerTaskQueue, heartbeatTimeoutMs, maxAttempts, retryDelayMs, searchAttributes },
    longPolls: createLongPolls({ clock }),
    now: () => clock.now(),
  });
  const ends = createEnds({ ...settings, workflows });
  const dispatcher = createDispatcher({ ...settings, workflows, ends, watch, closing: closing.signal });
  let closed: Promise<void> | undefined;

  async function close(): Promise<void> {
    closing.abort(new EngineError("closed", "The engine is closed."));
    watch.close();
    worker.shutdown();
    await dispatcher.closed();
    await Promise.race([worker.stopped, sleep(clock, STOP_WITHIN_MS)]);
    await connection.close();
    // Refused when the worker did not stop in time; then the process' end closes it.
    await native.close().catch((error: unknown) => logger.debug({ err: error }, "A connection could not be closed."));
  }

  /** Stores what somebody wants of an execution, and lets its workflow know. */
  async function tell(
    executionId: string,
    store: () => Promise<keyof typeof STANDINGS>,
    pass: (run: Run) => void,
  ): Promise<Standing> {
    refuseWhenClosed();
    const state = await dispatcher.handOver(async () => {
      const stored = await store();
      const run = stored === "leased" ? dispatcher.runs.get(executionId) : undefined;
      if (run) pass(run);
      else if (stored === "leased") onOrder(executionId);
      return stored;
    });
    logger.info({ executionId, state }, "Something was asked of an execution.");
    dispatcher.kick();
    return STANDINGS[state];
  }

  function refuseWhenClosed(): void {
    if (closed) throw new EngineError("closed", "The engine is closed; start it again to go on.");
  }

  const isKnown = async (executionId: string): Promise<boolean> => (await loadExecution(executionId)) !== undefined;
  try {
    await dispatcher.recover();
  } catch (error) {
    await close();
    throw error;
  }
  dispatcher.kick();
  return {
    type: "temporal",
    runnerService: createRunnerService({ queue, dispatcher, isKnown, onOrder, closing: closing.signal, logger }),
    ordered: (executionId) => dispatcher.ordered(executionId),

    start: async () => {
      refuseWhenClosed();
      dispatcher.kick();
    },

    cancel: async (executionId, reason) => {
      await tell(
        executionId,
        () => queue.requestCancel(executionId, reason),
        ({ orders }) => orders.cancel(reason),
      );
    },

    pause: (executionId, reason) =>
      tell(
        executionId,
        () => queue.pause(executionId, reason),
        ({ orders }) => orders.pause(reason),
      ),

    resume: (executionId) =>
      tell(
        executionId,
        () => queue.resume(executionId),
        ({ orders }) => orders.resume(),
      ),

    // Not told to the workflow: runners fetch it from the queue, and what people write stays out of histories.
    deliver: (executionId, item) => {
      const payload = toBinary(InboxItemSchema, item);
      return tell(
        executionId,
        () => queue.deliver(executionId, { id: item.id, payload }),
        () => {},
      );
    },

    metrics: async () => {
      const { oldestWaitingAt, ...counts } = await queue.counts();
      const oldestWaitingMs = oldestWaitingAt === undefined ? 0 : Math.max(0, clock.now() - oldestWaitingAt);
      return { ...counts, oldestWaitingMs };
    },
    get connected() {
      return !watch.isAway;
    },

    close: () => (closed ??= close()),
  };
}
