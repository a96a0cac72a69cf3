import { type Clock, sleep } from "../clock.ts";
import type { QueuedTask } from "../embedded/queue-store.ts";
import { retryDelayMs } from "../embedded/retry-delay.ts";
import type { Logger } from "../engine.ts";
import type { ConnectionWatch } from "./connection-watch.ts";
import { errorText, isAway } from "./grpc-errors.ts";
import type { Workflows } from "./workflows.ts";

/**
 * What people want of one run, on its way from the queue, which has stored it, to the run's workflow. Only the present wish is
 * sent, again and again until it has arrived or the run is over; sent twice, it changes nothing.
 */
export interface RunOrders {
  readonly cancelReason: string | undefined;
  readonly pauseReason: string | undefined;
  cancel(reason: string): void;
  pause(reason: string): void;
  resume(): void;
  /** The run has come to rest by itself, and that is stored: its workflow is about to learn of it from the attempt. */
  rested(reason: string): void;
  /** The run was about to rest by itself, but has no reason to any more: its workflow has to be told once it rests. */
  wakeSoon(): void;
  /** Takes in what is stored: what another server stored is told the workflow from here. */
  sync(task: Pick<QueuedTask, "orders" | "cancelReason" | "pauseReason">): void;
}

export interface RunOrdersOptions {
  readonly taskId: string;
  readonly cancelReason: string | undefined;
  readonly pauseReason: string | undefined;
  /** How many were stored for the task, with these. Default 0. */
  readonly orders?: number;
  /** An earlier process may have stored something that it did not come to send. */
  readonly recovered: boolean;
  /** Resolves when the run's workflow was started. */
  readonly started: Promise<void>;
  /** Aborted when the run is over, or nobody is to be told any more. */
  readonly over: AbortSignal;
  readonly workflows: Pick<Workflows, "tell" | "rests">;
  readonly watch: ConnectionWatch;
  readonly logger: Logger;
  readonly clock: Clock;
}

/**
 * When to look whether a run that was resumed still rests, in milliseconds after one another. A resume can overtake the word
 * of the attempt that the run rests, and would then have told the workflow nothing.
 */
const LOOKS_AFTER_RESUME_MS = [1_000, 5_000, 30_000];
const LOOKS_SOON_MS = [100, 300, 1_000, 5_000, 30_000];

export function createRunOrders(options: RunOrdersOptions): RunOrders {
  const { taskId, recovered, started, over, workflows, watch, logger, clock } = options;
  let { cancelReason, pauseReason, orders: known = 0 } = options;
  const unsent = { cancel: cancelReason !== undefined, rest: pauseReason !== undefined };
  let looks: readonly number[] = recovered && !unsent.rest ? [0, ...LOOKS_SOON_MS] : [];
  let running = false;
  let changed = new AbortController();

  function kick(): void {
    changed.abort();
    if (running) return;
    running = true;
    void run().finally(() => (running = false));
  }

  async function run(): Promise<void> {
    await Promise.race([started, aborted(over)]);
    for (let failures = 0; !over.aborted;) {
      changed = new AbortController();
      try {
        if (!(await step())) return;
        failures = 0;
      } catch (error) {
        if (isAway(error)) watch.lost(error);
        else logger.debug({ taskId, reason: errorText(error) }, "A workflow could not be told what is wanted of it.");
        failures += 1;
        await Promise.race([watch.whenBack(), aborted(over)]);
        await sleep(clock, retryDelayMs(failures), over);
      }
    }
  }

  /** Does the next thing that is due; answers whether there was one. */
  async function step(): Promise<boolean> {
    if (unsent.cancel) {
      await tell({ kind: "cancel", reason: cancelReason ?? "" });
      unsent.cancel = false;
      return true;
    }
    if (unsent.rest) {
      // Before the call: what is wanted while it is under way has to be sent, too.
      unsent.rest = false;
      const order =
        pauseReason === undefined ? ({ kind: "resume" } as const) : { kind: "pause" as const, reason: pauseReason };
      try {
        await tell(order);
      } catch (error) {
        unsent.rest = true;
        throw error;
      }
      return true;
    }
    const [afterMs, ...later] = pauseReason === undefined ? looks : [];
    if (afterMs === undefined) return false;
    await sleep(clock, afterMs, AbortSignal.any([over, changed.signal]));
    if (over.aborted || changed.signal.aborted) return true;
    looks = later;
    if (await workflows.rests(taskId)) unsent.rest = true;
    return true;
  }

  async function tell(order: Parameters<Workflows["tell"]>[1]): Promise<void> {
    const told = await workflows.tell(taskId, order);
    logger.debug({ taskId, order: order.kind, told }, "A workflow was told what is wanted of it.");
  }

  if (recovered || unsent.cancel || unsent.rest) kick();
  // Each is stored by then, and counted there as well.
  const orders: RunOrders = {
    get cancelReason() {
      return cancelReason;
    },
    get pauseReason() {
      return pauseReason;
    },
    cancel: (reason) => {
      known += 1;
      if (cancelReason !== undefined) return;
      cancelReason = reason;
      unsent.cancel = true;
      kick();
    },
    pause: (reason) => {
      known += 1;
      if (pauseReason !== undefined) return;
      pauseReason = reason;
      unsent.rest = true;
      kick();
    },
    resume: () => {
      known += 1;
      // A workflow takes a resume that finds no pause for that of a rest which it has yet to hear of: so none is sent at random.
      unsent.rest = pauseReason !== undefined;
      // Looks that a rest on its way was promised stay: it may not have reached the workflow yet.
      looks = unsent.rest ? LOOKS_AFTER_RESUME_MS : [0, ...looks];
      pauseReason = undefined;
      kick();
    },
    rested: (reason) => {
      known += 1;
      pauseReason ??= reason;
    },
    wakeSoon: () => {
      known += 1;
      looks = LOOKS_SOON_MS;
      kick();
    },
    sync: (task) => {
      if (task.orders === known) return;
      const wasPaused = pauseReason !== undefined;
      if (task.cancelReason !== undefined) orders.cancel(task.cancelReason);
      if (task.pauseReason !== undefined) orders.pause(task.pauseReason);
      else {
        orders.resume();
        // A pause and its end may both have been missed, and the rest between them be on its way yet.
        if (!wasPaused) looks = [0, ...LOOKS_SOON_MS];
      }
      known = task.orders;
    },
  };
  return orders;
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}
