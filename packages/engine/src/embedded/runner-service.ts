import { create } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { AgentExecutionStatusSchema, ExecutionPhase } from "@stigmer/protos/agentexecution/v1";
import {
  type CompleteLeaseRequest,
  type HeldLease,
  ReleaseHold,
  type ReleaseLeaseRequest,
  type TakeLeasesRequest,
} from "@stigmer/protos/runner/v1";
import type { Clock } from "../clock.ts";
import type { Logger } from "../engine.ts";
import type { EmbeddedEngine, FinishedExecution } from "./create-engine.ts";
import type { Dispatcher } from "./dispatcher.ts";
import { createEventChannel } from "./event-channel.ts";
import { createTurns } from "./lock.ts";
import { signalEvent, standingOrders } from "./orders.ts";
import type { LeaseKey, QueuedTask, QueueStore, RenewedLease } from "./queue-store.ts";
import type { RunnerConnection, RunnerConnections } from "./runner-connections.ts";

const MAX_RETRY_DELAY_MS = 30_000;
/** As seen: none of the inbox is asked for. */
const ALL_ITEMS = 2 ** 31 - 1;

export interface RunnerServiceOptions {
  readonly queue: QueueStore;
  readonly runners: RunnerConnections;
  readonly dispatcher: Dispatcher;
  readonly leaseMs: number;
  readonly reattachMs: number;
  readonly retryDelayMs: number;
  readonly onFinished: (execution: FinishedExecution) => Promise<void>;
  readonly isClosed: () => boolean;
  readonly logger: Logger;
  readonly clock: Clock;
}

/** What a runner may ask of the queue. */
export function createRunnerService(options: RunnerServiceOptions): EmbeddedEngine["runnerService"] {
  const { queue, runners, dispatcher, leaseMs, reattachMs, isClosed, logger, clock } = options;
  // Of an organization whose runs end many at a time, these don't stand before others' work.
  const ends = createTurns(clock);

  async function open(): Promise<void> {
    if (isClosed()) throw new ConnectError("The engine is closing; connect again.", Code.Unavailable);
    await dispatcher.opened();
  }

  function heard(runnerId: string): RunnerConnection | undefined {
    const runner = runners.get(runnerId);
    if (runner) runner.heardAt = clock.now();
    return runner;
  }

  async function renew(runnerId: string, leases: readonly RenewedLease[], expiresAt: number): Promise<QueuedTask[]> {
    return leases.length === 0 ? [] : queue.renew({ runnerId, leases, expiresAt });
  }

  /** Keeps what the runner still works on, and lets go of what it does not know of. */
  async function attach(request: TakeLeasesRequest): Promise<RunnerConnection> {
    const { runnerId, taskQueue, maxConcurrency, version, held } = request;
    const now = clock.now();
    const kept = await renew(runnerId, held.map(keyOf), now + leaseMs);
    const leases = new Map(kept.map(({ id, fence, org }) => [id, { fence, org }]));
    // Sent on the earlier stream, and lost with it.
    const undelivered = [...(runners.get(runnerId)?.leases ?? [])]
      .map(([taskId, { fence }]) => ({ taskId, fence }))
      .filter(({ taskId, fence }) => leases.get(taskId)?.fence !== fence);
    await renew(runnerId, undelivered, now);

    const runner: RunnerConnection = {
      runnerId,
      taskQueue,
      maxConcurrency,
      version,
      leases,
      events: createEventChannel(),
      heardAt: now,
      leaving: false,
      closed: false,
    };
    const keptKeys = kept.map(({ id: taskId, fence }) => ({ taskId, fence }));
    const heartbeatIntervalMs = Math.max(1, Math.floor(leaseMs / 3));
    runner.events.push({ event: { case: "attached", value: { leaseMs, heartbeatIntervalMs, kept: keptKeys } } });
    for (const task of kept) {
      const lease = { taskId: task.id, fence: task.fence };
      for (const order of await standingOrders(queue, task)) runner.events.push(signalEvent(lease, order));
    }
    runners.add(runner);
    logger.info(
      { runnerId, taskQueue, maxConcurrency, version, held: held.length, kept: kept.length },
      "A runner attached.",
    );
    return runner;
  }

  async function detach(runner: RunnerConnection): Promise<void> {
    if (!runners.remove(runner) || isClosed()) return;
    const { runnerId } = runner;
    logger.info({ runnerId, leases: runner.leases.size }, "A runner's stream ended.");
    try {
      const leases = [...runner.leases].map(([taskId, { fence }]) => ({ taskId, fence }));
      await renew(runnerId, leases, clock.now() + reattachMs);
    } catch (error) {
      logger.error(
        { err: error, runnerId },
        "The time to reattach could not be set; the leases end with the lease time.",
      );
    }
    dispatcher.kick();
  }

  /**
   * The task under a lease that is current. A failure counts attempts, which the progress under the lease begins anew. Any other end
   * is looked at and no more, to spare a write: its runner goes on telling that it holds the lease until it has the answer, and
   * should the lease end all the same while the end is being stored, its fence decides.
   */
  async function current(
    lease: RenewedLease,
    { runnerId, outcome }: CompleteLeaseRequest,
  ): Promise<QueuedTask | undefined> {
    if (outcome.case === "failure") {
      const [task] = await renew(runnerId, [lease], clock.now() + leaseMs);
      return task;
    }
    const found = await queue.leased(lease.taskId, { seen: ALL_ITEMS });
    return found?.task.fence === lease.fence && found.task.runnerId === runnerId ? found.task : undefined;
  }

  async function finish(task: QueuedTask, { outcome, runnerId }: CompleteLeaseRequest): Promise<void> {
    const { id: taskId, fence, kind, attempt } = task;
    if (outcome.case === "failure" && outcome.value.retryable) {
      const { message } = outcome.value;
      const delayMs = Math.min(MAX_RETRY_DELAY_MS, options.retryDelayMs * 2 ** (attempt - 1));
      logger.warn({ taskId, fence, attempt, runnerId, failure: message, delayMs }, "An attempt failed.");
      const availableAt = clock.now() + delayMs;
      await queue.release({ taskId, fence }, { runnerId, counted: true, availableAt, failure: message });
      return;
    }
    if (kind === "execution")
      await options.onFinished({ executionId: taskId, fence, status: statusOf(outcome, clock.now()) });
    else if (outcome.case === "failure")
      logger.error({ taskId, kind, failure: outcome.value.message }, "A task failed for good.");
    await queue.complete({ taskId, fence }, runnerId);
    logger.debug({ taskId, fence, runnerId, outcome: outcome.case }, "A task is done.");
  }

  async function release(
    lease: LeaseKey,
    { runnerId, reason, hold, inboxSeen }: ReleaseLeaseRequest,
  ): Promise<boolean> {
    // Together with what people ask: nothing must come after the look at what they asked, and before the rest.
    return dispatcher.handOver(async () => {
      const byItself = hold === ReleaseHold.PAUSED_ITSELF && !dispatcher.resumed.has(lease.taskId);
      const waits = byItself && (await queue.inbox(lease.taskId, { seen: inboxSeen })).length === 0;
      const pause = waits ? { pauseReason: reason } : {};
      return queue.release(lease, { runnerId, counted: false, availableAt: clock.now(), ...pause });
    });
  }

  return {
    async *takeLeases(request, context) {
      await open();
      const runner = await dispatcher.handOver(() => attach(request));
      // On the signal, not only at the generator's end: a stream that broke may never be read again.
      const end = (): void => void detach(runner);
      context.signal.addEventListener("abort", end, { once: true });
      try {
        // Ended meanwhile: the signal has fired, or the engine's close did not see this runner.
        if (context.signal.aborted || isClosed()) end();
        dispatcher.kick();
        yield* runner.events;
      } finally {
        context.signal.removeEventListener("abort", end);
        await detach(runner);
      }
    },

    async heartbeat({ runnerId, held }) {
      await open();
      const now = clock.now();
      const renewed = await renew(runnerId, held.map(keyOf), now + leaseMs);
      const current = new Map(renewed.map(({ id, fence }) => [id, fence]));
      const wasSilent = (runners.get(runnerId)?.heardAt ?? now) <= now - leaseMs;
      heard(runnerId);
      const lost = held.filter(({ taskId, fence }) => current.get(taskId) !== fence);
      for (const lease of lost) runners.forget(lease, runnerId);
      if (wasSilent || lost.length > 0) dispatcher.kick();
      return { lost };
    },

    async completeLease(request) {
      await open();
      const { runnerId } = request;
      const lease = leaseOf(request);
      if (request.outcome.case === undefined)
        throw new ConnectError("outcome: value is required", Code.InvalidArgument);
      heard(runnerId);
      const task = await current(lease, request);
      if (task) await ends(task.org, () => finish(task, request));
      runners.forget(lease, runnerId);
      if (task) dispatcher.resumed.delete(lease.taskId);
      if (request.outcome.case === "failure") dispatcher.kick({ settle: true });
      else dispatcher.offer();
      // Not current: right only when this is a repetition of the call that ended it.
      if (!task && !(await queue.complete(lease, runnerId))) throw leaseIsGone(lease);
      return {};
    },

    async releaseLease(request) {
      await open();
      const { runnerId, reason, hold } = request;
      const lease = leaseOf(request);
      const runner = heard(runnerId);
      if (!(await release(lease, request))) throw leaseIsGone(lease);
      logger.info({ ...lease, runnerId, reason, hold: ReleaseHold[hold] }, "A task was handed back.");
      if (runner && hold === ReleaseHold.UNSPECIFIED) runner.leaving = true;
      runners.forget(lease, runnerId);
      dispatcher.kick({ settle: true });
      return {};
    },
  };
}

function keyOf({ taskId, fence, progressed }: HeldLease): RenewedLease {
  return { taskId, fence, progressed };
}

function leaseOf({ lease }: { readonly lease?: HeldLease }): RenewedLease {
  if (!lease) throw new ConnectError("lease: value is required", Code.InvalidArgument);
  return keyOf(lease);
}

function leaseIsGone({ taskId, fence }: LeaseKey): ConnectError {
  const message = `The lease of ${taskId} under fence ${String(fence)} has ended; stop the task and report nothing more for it.`;
  return new ConnectError(message, Code.Aborted);
}

function statusOf(outcome: CompleteLeaseRequest["outcome"], now: number): FinishedExecution["status"] {
  if (outcome.case === "status") return outcome.value;
  const error = outcome.case === "failure" ? outcome.value.message : "The runner ended the run without a status.";
  const completedAt = new Date(now).toISOString();
  return create(AgentExecutionStatusSchema, { phase: ExecutionPhase.EXECUTION_FAILED, error, completedAt });
}
