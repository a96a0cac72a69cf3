import { type Client, Code, ConnectError } from "@connectrpc/connect";
import { ReleaseHold, type RunnerController } from "@stigmer/protos/runner/v1";
import { type Clock, sleep } from "../clock.ts";
import type { Logger } from "../engine.ts";
import type { LeaseKey } from "./queue-store.ts";
import type { RunInbox } from "./run-inbox.ts";
import { retryDelayMs } from "./retry-delay.ts";
import type { TaskEnd } from "./run-task.ts";

/** For one call: the server stores the outcome before it answers. */
const CALL_TIMEOUT_MS = 10_000;

/** Asking again does not change the answer to these. */
const FINAL_CODES: readonly Code[] = [
  Code.InvalidArgument,
  Code.NotFound,
  Code.FailedPrecondition,
  Code.OutOfRange,
  Code.PermissionDenied,
  Code.Unauthenticated,
  Code.Unimplemented,
];

/** Tells the server how leases end, again and again until it has heard. */
export interface LeaseReporter {
  /**
   * Resolves when the server has the end, when it says that the lease is another's, when `isHeld` turns false between two
   * tries, or when the worker stops. Never rejects.
   */
  report(work: ReportedWork, end: TaskEnd, isHeld: () => boolean): Promise<void>;
}

export interface ReportedWork {
  readonly lease: LeaseKey;
  readonly inbox: Pick<RunInbox, "seen">;
}

export interface LeaseReporterOptions {
  readonly client: Client<typeof RunnerController>;
  readonly runnerId: string;
  readonly logger: Logger;
  readonly clock: Clock;
  /** Ends the repeating. */
  readonly stopping: AbortSignal;
}

export function createLeaseReporter(options: LeaseReporterOptions): LeaseReporter {
  const { client, runnerId, logger, clock, stopping } = options;

  async function untilHeard(lease: LeaseKey, call: () => Promise<unknown>, isHeld: () => boolean): Promise<void> {
    for (let retry = 1; isHeld() && !stopping.aborted; retry += 1) {
      try {
        await call();
        return;
      } catch (error) {
        const { code, rawMessage: reason } = ConnectError.from(error);
        if (code === Code.Aborted)
          return logger.warn({ ...lease, reason }, "A task ended, but its lease is another's.");
        if (FINAL_CODES.includes(code)) {
          return logger.error({ ...lease, code: Code[code], reason }, "The server refused the end of a task.");
        }
        logger.debug({ ...lease, code: Code[code], reason, retry }, "The end of a task was not answered; repeating.");
        await sleep(clock, retryDelayMs(retry), stopping);
      }
    }
  }

  return {
    report: async ({ lease, inbox }, end, isHeld) => {
      const request = { runnerId, lease };
      const call = { timeoutMs: CALL_TIMEOUT_MS };
      switch (end.kind) {
        case "ended":
          if (end.error !== undefined) logger.error({ ...lease, err: end.error }, "A task ended with an error.");
          logger.info({ ...lease, outcome: end.outcome.case }, "A task ended.");
          return untilHeard(lease, () => client.completeLease({ ...request, outcome: end.outcome }, call), isHeld);
        case "handed-back":
          logger.info({ ...lease }, "A task is handed back.");
          return untilHeard(
            lease,
            () => client.releaseLease({ ...request, reason: "The runner shuts down." }, call),
            isHeld,
          );
        case "rested": {
          const { hold, reason } = end;
          const inboxSeen = inbox.seen;
          logger.info({ ...lease, reason, hold: ReleaseHold[hold] }, "A task came to rest.");
          return untilHeard(lease, () => client.releaseLease({ ...request, reason, hold, inboxSeen }, call), isHeld);
        }
        case "lost":
      }
    },
  };
}
