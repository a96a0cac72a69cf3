import type { Logger } from "../engine.ts";
import type { QueuedTask } from "./queue-store.ts";

/**
 * Executions that rest without their runner having said so: they were asked to pause, and then their runner was lost, left or
 * failed. All of it happens under the hand-over lock, so that what is told is so.
 */
export interface RestReports {
  /** A task went back to the queue in some other way than by coming to rest. */
  note(task: QueuedTask): void;
  /** It goes on, or ends. */
  forget(taskId: string): void;
  /** Tells what is noted. Answers whether all of it is told. */
  flush(): Promise<boolean>;
}

export function createRestReports(options: {
  readonly onPaused: (executionId: string, reason: string) => Promise<void>;
  readonly logger: Logger;
}): RestReports {
  const noted = new Map<string, string>();
  return {
    note: ({ id, kind, pauseReason, cancelReason }) => {
      if (kind === "execution" && pauseReason !== undefined && cancelReason === undefined) noted.set(id, pauseReason);
    },
    forget: (taskId) => {
      noted.delete(taskId);
    },
    flush: async () => {
      for (const [executionId, reason] of noted) {
        try {
          await options.onPaused(executionId, reason);
          noted.delete(executionId);
        } catch (error) {
          options.logger.error({ err: error, executionId }, "A pause could not be stored; trying again.");
        }
      }
      return noted.size === 0;
    },
  };
}
