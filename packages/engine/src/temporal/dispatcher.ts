import { randomUUID } from "node:crypto";
import type { Clock } from "../clock.ts";
import { createLock, type Lock } from "../embedded/lock.ts";
import type { QueuedTask, QueueStore } from "../embedded/queue-store.ts";
import type { Logger } from "../engine.ts";
import type { ConnectionWatch } from "./connection-watch.ts";
import type { Ends } from "./ends.ts";
import { followRun, type Run, type RunOptions } from "./run.ts";

/**
 * Who holds the leases of what Temporal runs, where that is one server alone; servers that share a queue have each a name of
 * their own that begins so.
 *
 * @internal
 */
export const HOLDER = "temporal";

/** When a lease of ours expires: never, as far as a date can say it. Temporal knows better when a runner is lost. */
const NEVER = 8_640_000_000_000_000;
/** After a store or a callback failed. */
const RETRY_AFTER_FAULT_MS = 1_000;
/** The longest sleep: timers of a process end at 24 days. */
const MAX_ALARM_MS = 3_600_000;
/** How often a server says within the time that it may be silent that it is there, and looks for what others left or stored. */
const TENDS = 3;
/** How many workflows are on their way to being started at a time. */
const MAX_STARTING = 20;

export interface DispatcherOptions extends Omit<RunOptions, "task" | "recovered"> {
  readonly queue: QueueStore;
  readonly ends: Ends;
  readonly watch: ConnectionWatch;
  readonly runnerTaskQueue: string;
  readonly maxAttempts: number;
  readonly maxRunsPerOrg?: number | undefined;
  /** Other servers lease from the queue as well. */
  readonly shared: boolean;
  /** How long a server that shares the queue may be silent before others follow its runs, in milliseconds. */
  readonly serverTimeoutMs: number;
  readonly closing: AbortSignal;
  readonly logger: Logger;
  readonly clock: Clock;
}

/** Brings tasks to Temporal: after every change of the queue, and when time alone changes something. */
export interface Dispatcher {
  /** By task. */
  readonly runs: ReadonlyMap<string, Run>;
  /** Looks through the queue soon. */
  kick(): void;
  /** Held while the queue and the run of a task change together: a wish must not fall between the two. */
  readonly handOver: Lock;
  /** Follows what an earlier process has leased. Before anything else. */
  recover(): Promise<void>;
  /** Another server has stored something for a run that may be followed here. Never fails: it is looked up again. */
  ordered(taskId: string): Promise<void>;
  /** After `closing` was aborted. */
  closed(): Promise<void>;
}

export function createDispatcher(options: DispatcherOptions): Dispatcher {
  const { queue, ends, watch, runnerTaskQueue, maxAttempts, shared, serverTimeoutMs, closing, logger, clock } = options;
  const holder = shared ? `${HOLDER}/${randomUUID()}` : HOLDER;
  const handOver = createLock();
  const runs = new Map<string, Run>();
  const starting = new Set<Run>();
  let running: Promise<void> | undefined;
  let again = false;
  let callOffAlarm = (): void => {};
  let callOffTend = (): void => {};
  let tending: Promise<void> | undefined;
  let heldUntil = 0;
  let adoptFrom = 0;

  function kick(): void {
    again = true;
    if (closing.aborted || running) return;
    running = run().finally(() => {
      running = undefined;
      // Kicked between the loop's last look and here.
      if (again) kick();
    });
  }

  async function run(): Promise<void> {
    while (again && !closing.aborted) {
      again = false;
      callOffAlarm();
      try {
        // Before all else: for this somebody waits.
        await serve();
        await takeOver();
        const settled = await settle();
        if (!settled) setAlarm(RETRY_AFTER_FAULT_MS);
        else await setAlarmByQueue();
      } catch (error) {
        logger.error({ err: error }, "The queue could not be served; trying again.");
        setAlarm(RETRY_AFTER_FAULT_MS);
      }
    }
  }

  function setAlarm(ms: number): void {
    callOffAlarm();
    if (!closing.aborted) callOffAlarm = clock.after(Math.min(ms, MAX_ALARM_MS), kick);
  }

  async function setAlarmByQueue(): Promise<void> {
    const now = clock.now();
    const dueAt = await queue.nextDue({ now });
    if (dueAt !== undefined && dueAt < NEVER) setAlarm(Math.max(dueAt - now, 1));
  }

  /** What another engine has leased before this one came, is ours when its time is over. */
  async function takeOver(): Promise<void> {
    const expired = await queue.expire({ now: clock.now(), failure: "The server's engine was changed." });
    for (const { id: taskId, runnerId } of expired) {
      logger.info({ taskId, runnerId }, "A task that another engine had given out waits again.");
      again = true;
    }
  }

  /** Answers whether all that can't be given out is done. */
  async function settle(): Promise<boolean> {
    let settled = true;
    for (const task of await queue.undeliverable({ maxAttempts })) {
      try {
        await ends.storeUndelivered(task);
        await ends.callBack(task);
        await queue.discard({ taskId: task.id, fence: task.fence });
        // The session's next one may have waited for it.
        again = true;
      } catch (error) {
        logger.error({ err: error, taskId: task.id }, "The end of a task could not be stored; trying again.");
        settled = false;
      }
    }
    return settled;
  }

  // While Temporal is away everything stays where it can be cancelled without it.
  async function serve(): Promise<void> {
    while (!closing.aborted && !watch.isAway && starting.size < MAX_STARTING) {
      const leased = await handOver(leaseOne);
      if (!leased) return;
      starting.add(leased.run);
      void untilStarted(leased.run);
      if (leased.isLast) return;
    }
  }

  async function untilStarted(run: Run): Promise<void> {
    await run.started;
    const wasFull = starting.size >= MAX_STARTING;
    starting.delete(run);
    if (wasFull) kick();
  }

  async function leaseOne(): Promise<{ readonly run: Run; readonly isLast: boolean } | undefined> {
    const now = clock.now();
    const task = await queue.lease({
      queue: runnerTaskQueue,
      runnerId: holder,
      now,
      leaseMs: NEVER - now,
      maxAttempts,
      maxPerOrg: options.maxRunsPerOrg,
    });
    return task && { run: follow(task, { recovered: false }), isLast: task.isLast === true };
  }

  function follow(task: QueuedTask, { recovered }: { readonly recovered: boolean }): Run {
    const run = followRun({ ...options, task, recovered });
    runs.set(task.id, run);
    void untilSettled(run);
    return run;
  }

  async function untilSettled(run: Run): Promise<void> {
    await run.settled;
    runs.delete(run.taskId);
    kick();
  }

  async function tend(): Promise<void> {
    try {
      await beThere();
      await takeOverRuns();
      await handOver(compareWithQueue);
    } catch (error) {
      logger.warn({ err: error }, "What other servers left or stored could not be looked up; trying again.");
    }
    // Whoever stored a run may have died before it came to give it out.
    kick();
    if (!closing.aborted) callOffTend = clock.after(serverTimeoutMs / TENDS, () => void (tending = tend()));
  }

  async function beThere(): Promise<void> {
    const now = clock.now();
    // Whoever could not say that they are there does not know who else could not, but all are about to.
    if (now > heldUntil) adoptFrom = heldUntil === 0 ? now : now + serverTimeoutMs;
    await queue.hold({ holder, expiresAt: now + serverTimeoutMs });
    heldUntil = now + serverTimeoutMs;
  }

  async function takeOverRuns(): Promise<void> {
    const now = clock.now();
    if (now < adoptFrom) return;
    const tasks = await handOver(async () => {
      const adopted = await queue.adopt({ holder, now });
      for (const task of adopted) if (!runs.has(task.id)) follow(task, { recovered: true });
      return adopted;
    });
    if (tasks.length > 0) logger.info({ tasks: tasks.length }, "The runs of a server that has gone are followed here.");
  }

  /** The queue is right about whose a run is, and about what is wanted of it. */
  async function compareWithQueue(): Promise<void> {
    const tasks = new Map((await queue.leasedTo(holder)).map((task) => [task.id, task]));
    for (const task of tasks.values()) {
      const run = runs.get(task.id);
      if (run) run.orders.sync(task);
      else if (!closing.aborted) follow(task, { recovered: true });
    }
    for (const run of runs.values()) if (!tasks.has(run.taskId)) run.letGo();
  }

  return {
    runs,
    kick,
    handOver,
    recover: async () => {
      if (shared) {
        // One that was alone before has stopped: it would not have let others in.
        await queue.hold({ holder: HOLDER, expiresAt: 0 });
        tending = tend();
        return tending;
      }
      const own = await queue.leasedTo(HOLDER);
      const left = await queue.adopt({ holder, now: NEVER });
      const tasks = [...own, ...left];
      for (const task of tasks) follow(task, { recovered: true });
      if (tasks.length > 0) logger.info({ tasks: tasks.length }, "Tasks of an earlier start are followed again.");
    },
    ordered: async (taskId) => {
      if (!runs.has(taskId) || closing.aborted) return;
      await handOver(async () => {
        const leased = await queue.leased(taskId, { seen: 0 });
        if (leased?.task.runnerId === holder) runs.get(taskId)?.orders.sync(leased.task);
      }).catch((error: unknown) => logger.debug({ taskId, err: error }, "What is wanted of a run could not be read."));
    },
    closed: async () => {
      callOffAlarm();
      callOffTend();
      await running;
      await tending;
      callOffTend();
      await handOver(async () => {});
      await Promise.all([...runs.values()].map(({ settled }) => settled));
      // Others need not wait until it counts as silent.
      if (shared) await queue.hold({ holder, expiresAt: 0 }).catch(() => {});
    },
  };
}
