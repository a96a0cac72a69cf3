import type { Worker } from "@temporalio/worker";
import { type Clock, sleep } from "../clock.ts";
import { retryDelayMs } from "../embedded/retry-delay.ts";
import type { Logger } from "../engine.ts";
import { errorText } from "./grpc-errors.ts";

/** A worker of Temporal's that is made anew when it ends by itself, as it does when the server says something final. */
export interface KeptWorker {
  /** Takes no more work. */
  shutdown(): void;
  /** Resolves when it has stopped after `shutdown`. */
  readonly stopped: Promise<void>;
}

export interface KeepWorkingOptions {
  readonly create: () => Promise<Worker>;
  /** What the worker does, for the log. */
  readonly what: string;
  readonly logger: Logger;
  readonly clock: Clock;
}

/** Resolves when the worker takes work for the first time; rejects when it can't be made. */
export async function keepWorking({ create, what, logger, clock }: KeepWorkingOptions): Promise<KeptWorker> {
  const stopping = new AbortController();
  let worker: Worker | undefined = await create();

  async function run(): Promise<void> {
    for (let failures = 0; !stopping.signal.aborted;) {
      const startedAt = clock.now();
      try {
        worker ??= await create();
        const ended = worker.run();
        // Told so while it was being made.
        if (stopping.signal.aborted) worker.shutdown();
        await ended;
        if (stopping.signal.aborted) return;
        logger.warn({ what }, "A worker of Temporal's has ended; making another one.");
      } catch (error) {
        if (stopping.signal.aborted) return;
        const fields = { what, reason: errorText(error) };
        if (failures === 0) logger.error(fields, "A worker of Temporal's has failed; making another one.");
        else logger.debug(fields, "A worker of Temporal's has failed again; making another one.");
      }
      worker = undefined;
      failures = clock.now() - startedAt > 60_000 ? 1 : failures + 1;
      await sleep(clock, retryDelayMs(failures), stopping.signal);
    }
  }

  const stopped = run();
  return {
    stopped,
    shutdown: () => {
      if (stopping.signal.aborted) return;
      stopping.abort();
      if (worker?.getState() === "RUNNING") worker.shutdown();
    },
  };
}
