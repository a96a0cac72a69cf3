import { type Clock, sleep } from "../clock.ts";
import type { QueuedTask, QueueStore } from "../embedded/queue-store.ts";
import { retryDelayMs } from "../embedded/retry-delay.ts";
import type { Logger } from "../engine.ts";
import { EngineError } from "../errors.ts";
import type { ConnectionWatch } from "./connection-watch.ts";
import type { Ends } from "./ends.ts";
import { errorText, isAway, isOverloaded } from "./grpc-errors.ts";
import { createRunOrders, type RunOrders } from "./run-orders.ts";
import type { WorkflowEnd, Workflows } from "./workflows.ts";

/** A task that this engine has leased, from the start of its workflow until its end is stored. */
export interface Run {
  readonly taskId: string;
  readonly orders: RunOrders;
  /** Resolves when the workflow was started, or the task is over. */
  readonly started: Promise<void>;
  /** Resolves when the task is done, the run was let go, or the engine closes. Never rejects. */
  readonly settled: Promise<void>;
  /** Follows it no longer: another server does. */
  letGo(): void;
}

export interface RunOptions {
  readonly task: QueuedTask;
  /** Leased by an earlier process: the workflow may have been started, and what is wanted of it not have been sent. */
  readonly recovered: boolean;
  readonly queue: QueueStore;
  readonly workflows: Workflows;
  readonly ends: Ends;
  /** Of a session; undefined where runners have to be asked. */
  readonly threadOf: (sessionId: string) => Promise<string | undefined>;
  readonly watch: ConnectionWatch;
  readonly closing: AbortSignal;
  readonly logger: Logger;
  readonly clock: Clock;
}

/** Takes a task to its end, past every fault on the way: each step is repeated until it worked, and harmless when it did before. */
export function followRun(options: RunOptions): Run {
  const { task, recovered, queue, workflows, ends, threadOf, watch, logger, clock } = options;
  const taskId = task.id;
  const started = Promise.withResolvers<void>();
  const over = new AbortController();
  const left = new AbortController();
  const closing = AbortSignal.any([options.closing, left.signal]);

  async function untilDone<T>(what: string, work: () => Promise<T>): Promise<T> {
    for (let failures = 1; ; failures += 1) {
      closing.throwIfAborted();
      try {
        return await work();
      } catch (error) {
        closing.throwIfAborted();
        if (isAway(error)) watch.lost(error);
        else if (failures === 1 && !isOverloaded(error)) logger.error({ taskId, err: error }, `${what}; trying again.`);
        else logger.debug({ taskId, failures, reason: errorText(error) }, `${what}; trying again.`);
        await watch.whenBack();
        await sleep(clock, retryDelayMs(failures), closing);
      }
    }
  }

  async function follow(): Promise<void> {
    let isStarted = false;
    const end = await untilDone("The workflow of a task could not be followed", async () => {
      while (true) {
        if (!isStarted) {
          const early = await start();
          if (early) return early;
          isStarted = true;
          started.resolve();
        }
        const reached = await workflows.end(task, closing);
        if (reached) return reached;
        // Temporal has forgotten it, with its data or after the time that it keeps them: it goes on from its checkpoints.
        isStarted = false;
        logger.warn({ taskId }, "Temporal does not know a workflow any more that was started; starting it again.");
      }
    });
    if (end !== "gone") {
      await untilDone("The end of a task could not be stored", () => ends.store(task, end));
      await untilDone("The caller of an execution could not be told its end", () => ends.callBack(task));
    }
    await untilDone("A task could not be ended in the queue", () => queue.end(taskId));
    logger.debug({ taskId }, "A task is done.");
  }

  async function start(): Promise<WorkflowEnd | "gone" | undefined> {
    if (task.kind !== "execution") return workflows.start(task);
    const [execution, threadId] = await Promise.all([ends.load(taskId), threadOf(task.sessionId)]);
    if (execution) return workflows.start(task, { execution, threadId });
    logger.warn({ taskId }, "A task was dropped: what it is for is no longer there.");
    return "gone";
  }

  const settled = follow()
    .catch((error: unknown) => {
      if (!closing.aborted) logger.error({ taskId, err: error }, "A task is no longer followed; restart the server.");
    })
    .finally(() => {
      over.abort();
      started.resolve();
    });
  const orders = createRunOrders({
    taskId,
    cancelReason: task.cancelReason,
    pauseReason: task.pauseReason,
    orders: task.orders,
    recovered,
    started: started.promise,
    over: AbortSignal.any([over.signal, closing]),
    workflows,
    watch,
    logger,
    clock,
  });
  return {
    taskId,
    orders,
    started: started.promise,
    settled,
    letGo: () => left.abort(new EngineError("closed", "Another server follows this run.")),
  };
}
