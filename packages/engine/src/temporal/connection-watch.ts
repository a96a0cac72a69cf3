import { type Clock, sleep } from "../clock.ts";
import type { Logger } from "../engine.ts";
import { errorText } from "./grpc-errors.ts";

/** How often to look whether Temporal is there, in milliseconds. */
const LOOK_EVERY_MS = 5_000;
/** The same while it is away. */
const LOOK_AWAY_EVERY_MS = 500;
const ANSWER_WITHIN_MS = 5_000;

/** Knows whether Temporal is there, and says so once when that changes. */
export interface ConnectionWatch {
  readonly isAway: boolean;
  /** Somebody's call failed for want of Temporal. */
  lost(error: unknown): void;
  /** Resolves as soon as Temporal is there, or the watch is closed. */
  whenBack(): Promise<void>;
  close(): void;
}

export interface ConnectionWatchOptions {
  readonly address: string;
  /** Asks something of Temporal that costs little. */
  readonly ask: (deadline: number) => Promise<unknown>;
  /** Called each time it is there again. */
  readonly onBack?: () => void;
  readonly logger: Logger;
  readonly clock: Clock;
}

export function createConnectionWatch(options: ConnectionWatchOptions): ConnectionWatch {
  const { address, ask, onBack, logger, clock } = options;
  const closing = new AbortController();
  let back: PromiseWithResolvers<void> | undefined;
  let awaySince = 0;
  let hurry = new AbortController();

  function lost(reason: unknown): void {
    if (back || closing.signal.aborted) return;
    back = Promise.withResolvers();
    awaySince = clock.now();
    hurry.abort();
    logger.warn({ address, reason: errorText(reason) }, "Temporal can't be reached; runs wait for it to come back.");
  }

  async function look(): Promise<void> {
    while (!closing.signal.aborted) {
      hurry = new AbortController();
      const everyMs = back ? LOOK_AWAY_EVERY_MS : LOOK_EVERY_MS;
      await sleep(clock, everyMs, AbortSignal.any([closing.signal, hurry.signal]));
      if (closing.signal.aborted) return;
      try {
        await ask(Date.now() + ANSWER_WITHIN_MS);
        found();
      } catch (error) {
        lost(error);
      }
    }
  }

  function found(): void {
    if (!back || closing.signal.aborted) return;
    logger.info({ address, awayMs: clock.now() - awaySince }, "Temporal is back.");
    back.resolve();
    back = undefined;
    onBack?.();
  }

  void look();
  return {
    get isAway() {
      return back !== undefined;
    },
    lost,
    whenBack: async () => back?.promise,
    close: () => {
      closing.abort();
      back?.resolve();
    },
  };
}
