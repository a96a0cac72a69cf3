import { AsyncLocalStorage } from "node:async_hooks";
import { create, fromBinary, type MessageInitShape } from "@bufbuild/protobuf";
import { type AgentExecution, AgentExecutionStatusSchema, ExecutionPhase } from "@stigmer/protos/agentexecution/v1";
import { CleanupSandboxTaskSchema, type LeaseSchema } from "@stigmer/protos/runner/v1";
import type { Clock } from "../clock.ts";
import type { Logger } from "../engine.ts";
import type { FinishedExecution } from "./create-engine.ts";
import { createLock, type Lock } from "./lock.ts";
import { inboxOf } from "./orders.ts";
import type { NewLease, QueuedTask, QueueStore } from "./queue-store.ts";
import type { RunnerConnection, RunnerConnections } from "./runner-connections.ts";

/** After a store or a callback failed. */
const RETRY_AFTER_FAULT_MS = 1_000;

/** An alarm that comes later than this (or half the lease time) came late because the process stood still. */
const MIN_SLEPT_MS = 1_000;

const RUNNER_LOST = "Its runner was lost: nothing was heard of it in time.";

/** What a lease says beside whose it is. */
type LeaseContent = Pick<MessageInitShape<typeof LeaseSchema>, "task" | "inbox">;

export interface DispatcherOptions {
  readonly queue: QueueStore;
  readonly runners: RunnerConnections;
  readonly leaseMs: number;
  readonly recoverMs: number;
  readonly maxAttempts: number;
  readonly maxRunsPerOrg?: number | undefined;
  readonly loadExecution: (executionId: string) => Promise<AgentExecution | undefined>;
  readonly onFinished: (execution: FinishedExecution) => Promise<void>;
  readonly onExhausted: (executionId: string, message: string) => Promise<void>;
  readonly logger: Logger;
  readonly clock: Clock;
}

/** Brings tasks and runners together: after every change of either, and when time alone changes something. */
export interface Dispatcher {
  /** Looks through the queue and its times soon. `settle`: a task may have become undeliverable. */
  kick(change?: { readonly settle: boolean }): void;
  /**
   * There is a task more, or room for one, and no time has changed: gives out what there is. Named: it is that task, and one that a
   * look under way gives out is not looked for again.
   */
  offer(taskId?: string): void;
  /**
   * Held while a task goes from the queue to its runner's stream, and by whoever needs both to agree: a cancel, a pause or
   * an item of the inbox must not fall between the two.
   */
  readonly handOver: Lock;
  /**
   * Tasks that somebody resumed under their present lease. One that comes to rest by itself has been told to go on already:
   * it may be seen at rest before its runner has let go of it. Changed under `handOver` only.
   */
  readonly resumed: Set<string>;
  /** Resolves when the leases of an earlier process have got their window. Rejects when the store cannot do so. */
  opened(): Promise<void>;
  close(): Promise<void>;
}

export function createDispatcher(options: DispatcherOptions): Dispatcher {
  const { queue, runners, clock, logger, leaseMs, recoverMs, maxAttempts } = options;
  const handOver = createLock();
  const resumed = new Set<string>();
  /** What a call sets off for others is not done in its name. */
  const inNobodysName = AsyncLocalStorage.snapshot();
  let opening: Promise<unknown> | undefined;
  let running: Promise<void> | undefined;
  let again = false;
  /** Offered by name, and not seen with a runner yet. */
  const offered = new Set<string>();
  let unsettled = true;
  /** Something may be due before the alarm. */
  let timesMoved = true;
  let closed = false;
  let alarm: { readonly setAt: number; readonly dueAt: number; readonly callOff: () => void } | undefined;

  async function opened(): Promise<void> {
    opening ??= queue.recover({ expiresAt: clock.now() + recoverMs });
    try {
      await opening;
    } catch (error) {
      opening = undefined;
      throw error;
    }
  }

  function kick(change?: { readonly settle: boolean }): void {
    if (change?.settle) unsettled = true;
    timesMoved = true;
    offer();
  }

  function offer(taskId?: string): void {
    if (taskId === undefined) again = true;
    else offered.add(taskId);
    lookAround();
  }

  function lookAround(): void {
    if (closed || running) return;
    running = inNobodysName(run).finally(() => {
      running = undefined;
      // Kicked between the loop's last look and here.
      if (again || offered.size > 0) lookAround();
    });
  }

  /** Whether there is something that the last look may not have seen. */
  function isNew(): boolean {
    const isFound = again || [...offered].some((taskId) => !runners.holderOf(taskId));
    again = false;
    offered.clear();
    return isFound;
  }

  async function run(): Promise<void> {
    while (!closed && isNew()) {
      try {
        await opened();
        await expireSilent();
        if (unsettled) await settle();
        // What becomes available from here on may have been passed over: it is looked at again.
        const servedAt = clock.now();
        await serve();
        if (timesMoved) {
          timesMoved = false;
          setAlarm((await queue.nextDue({ now: servedAt })) ?? Number.POSITIVE_INFINITY);
        }
        if (unsettled) alarmBy(clock.now() + RETRY_AFTER_FAULT_MS);
      } catch (error) {
        logger.error({ err: error }, "The queue could not be served; trying again.");
        setAlarm(clock.now() + RETRY_AFTER_FAULT_MS);
      }
    }
  }

  function setAlarm(at: number): void {
    alarm?.callOff();
    alarm = undefined;
    if (at === Number.POSITIVE_INFINITY || closed) return;
    const now = clock.now();
    const dueAt = Math.max(at, now + 1);
    alarm = { setAt: now, dueAt, callOff: clock.after(dueAt - now, kick) };
  }

  /** Leaves an earlier alarm as it is: it is told when the next thing is due. */
  function alarmBy(at: number): void {
    if (!alarm || at < alarm.dueAt) setAlarm(at);
  }

  async function expireSilent(): Promise<void> {
    const now = clock.now();
    // This process itself slept (a closed laptop, a stopped container): it could not have heard anybody. Or the clock was set back: what is
    // kept until a time by the one before would be kept for that much longer.
    if (alarm && (now > alarm.dueAt + Math.max(leaseMs / 2, MIN_SLEPT_MS) || now < alarm.setAt)) {
      await queue.recover({ expiresAt: now + recoverMs });
      for (const runner of runners.all()) runner.heardAt = now;
      timesMoved = true;
      return;
    }
    if (!timesMoved) return;
    const expired = await queue.expire({ now, failure: RUNNER_LOST });
    if (expired.length > 0) unsettled = true;
    for (const { id: taskId, fence, runnerId, attempt } of expired) {
      logger.warn({ taskId, fence, runnerId, attempt }, "A runner lost its task: nothing was heard of it in time.");
      runners.forget({ taskId, fence }, runnerId)?.events.push({
        event: { case: "lost", value: { taskId, fence, reason: "Nothing was heard of the runner in time." } },
      });
    }
  }

  async function settle(): Promise<void> {
    unsettled = false;
    for (const task of await queue.undeliverable({ maxAttempts })) {
      try {
        if (task.kind === "execution") await tellEnd(task);
        else logger.error({ taskId: task.id, kind: task.kind, failure: task.lastFailure }, "A task was given up.");
        await queue.discard({ taskId: task.id, fence: task.fence });
        resumed.delete(task.id);
      } catch (error) {
        logger.error({ err: error, taskId: task.id }, "The end of a task could not be stored; trying again.");
        unsettled = true;
      }
    }
  }

  async function tellEnd({ id, cancelReason, attempt, lastFailure }: QueuedTask): Promise<void> {
    if (cancelReason === undefined) {
      const message = `The execution ${id} was given up after ${String(attempt)} attempts. The last one: ${lastFailure}`;
      return options.onExhausted(id, message);
    }
    const completedAt = new Date(clock.now()).toISOString();
    const phase = ExecutionPhase.EXECUTION_CANCELLED;
    const status = create(AgentExecutionStatusSchema, { phase, error: cancelReason, completedAt });
    return options.onFinished({ executionId: id, fence: undefined, status });
  }

  async function serve(): Promise<void> {
    const empty = new Set<string>();
    while (!closed) {
      const runner = runners.next({ heardAfter: clock.now() - leaseMs, exceptQueues: empty });
      if (!runner) return;
      const mayBeMore = await handOver(() => serveOne(runner));
      if (!mayBeMore) empty.add(runner.taskQueue);
    }
  }

  /** Answers whether there may be another task. */
  async function serveOne(runner: RunnerConnection): Promise<boolean> {
    const { runnerId, taskQueue } = runner;
    const now = clock.now();
    const task = await queue.lease({
      queue: taskQueue,
      runnerId,
      now,
      leaseMs,
      maxAttempts,
      maxPerOrg: options.maxRunsPerOrg,
    });
    if (!task) return false;
    const { id: taskId, fence, attempt } = task;
    resumed.delete(taskId);
    alarmBy(now + leaseMs);
    const content = await contentOf(task);
    if (content === undefined) {
      logger.warn({ taskId }, "A task was dropped: what it is for is no longer there.");
      await queue.complete({ taskId, fence }, runnerId);
    } else if (content === "fault" || runner.closed) {
      const availableAt = clock.now() + (content === "fault" ? RETRY_AFTER_FAULT_MS : 0);
      await queue.release({ taskId, fence }, { runnerId, counted: false, availableAt });
      timesMoved = true;
    } else {
      runner.leases.set(taskId, { fence, org: task.org });
      runner.events.push({ event: { case: "lease", value: { taskId, fence, attempt, ...content } } });
      logger.debug({ taskId, fence, attempt, runnerId }, "A task was leased.");
      return task.isLast !== true;
    }
    return true;
  }

  async function contentOf(task: NewLease): Promise<LeaseContent | "fault" | undefined> {
    try {
      if (task.kind === "cleanup-sandbox") {
        return { task: { case: "cleanupSandbox", value: fromBinary(CleanupSandboxTaskSchema, task.payload) } };
      }
      const [execution, inbox] = await Promise.all([
        options.loadExecution(task.id),
        // Nothing comes in while it is handed over.
        task.items === 0 ? [] : inboxOf(queue, task.id),
      ]);
      return execution && { task: { case: "agentExecution", value: { execution } }, inbox };
    } catch (error) {
      logger.error({ err: error, taskId: task.id }, "A task could not be read; it waits.");
      return "fault";
    }
  }

  return {
    kick,
    offer,
    handOver,
    resumed,
    opened,
    close: async () => {
      closed = true;
      alarm?.callOff();
      await running;
      await handOver(async () => {});
    },
  };
}
