import type { QueueStore } from "@stigmer/engine/embedded";
import type { Logger } from "../logger.ts";
import type { RunStatuses } from "./run-statuses.ts";

export interface SettlePhasesOptions {
  readonly queue: QueueStore;
  readonly runs: Pick<RunStatuses, "settle">;
  readonly logger: Logger;
}

/**
 * The queue as an engine sees it, with the phases of the runs kept true: whatever lets a task wait or rest, a person's
 * pause as well as a runner's death, is followed by what that means for its run. A crash between the two is made good by
 * `RunStatuses.recover`.
 */
export function settlePhases({ queue, runs, logger }: SettlePhasesOptions): QueueStore {
  /** Never fails: what the queue did is stored. */
  async function settle(taskId: string): Promise<void> {
    try {
      await runs.settle(taskId);
    } catch (error) {
      logger.error({ executionId: taskId, err: error }, "the phase of a run that waits could not be stored");
    }
  }

  return {
    ...queue,
    pause: async (taskId, reason) => {
      const state = await queue.pause(taskId, reason);
      if (state === "waiting") await settle(taskId);
      return state;
    },
    resume: async (taskId) => {
      const state = await queue.resume(taskId);
      if (state === "waiting") await settle(taskId);
      return state;
    },
    release: async (lease, options) => {
      const waits = await queue.release(lease, options);
      if (waits) await settle(lease.taskId);
      return waits;
    },
    expire: async (options) => {
      const expired = await queue.expire(options);
      await Promise.all(expired.filter(({ kind }) => kind === "execution").map(({ id }) => settle(id)));
      return expired;
    },
  };
}
