import { type Clock, sleep } from "../clock.ts";

/**
 * Lets many wait for the end of a workflow, each by a call that stays open, with only so many calls open at a time:
 * Temporal limits them for each namespace. When more want to wait, they take turns.
 */
export interface LongPolls {
  /** Waits by `poll` until it answers. Its signal aborts when its turn is over, and it is called again later. Rejects when `signal` aborts. */
  take<T>(signal: AbortSignal, poll: (turn: AbortSignal) => Promise<T>): Promise<T>;
}

export interface LongPollsOptions {
  /** Most calls at a time. Default 500. */
  readonly limit?: number;
  /** How long a turn lasts when others wait, in milliseconds. Default 2 000. */
  readonly turnMs?: number;
  readonly clock: Clock;
}

export function createLongPolls({ limit = 500, turnMs = 2_000, clock }: LongPollsOptions): LongPolls {
  let free = limit;
  const waiting: (() => void)[] = [];

  async function enter(): Promise<void> {
    if (free > 0) free -= 1;
    else await new Promise<void>((resolve) => waiting.push(resolve));
  }

  function leave(): void {
    const next = waiting.shift();
    if (next) next();
    else free += 1;
  }

  /** Aborts `turn` at the end of a turn in which somebody came to wait. */
  async function limitTurn(turn: AbortController, over: AbortSignal): Promise<void> {
    while (!over.aborted) {
      await sleep(clock, turnMs, over);
      if (waiting.length > 0 && !over.aborted) return turn.abort();
    }
  }

  return {
    take: async (signal, poll) => {
      while (true) {
        await enter();
        const turn = new AbortController();
        const over = new AbortController();
        void limitTurn(turn, AbortSignal.any([over.signal, signal]));
        try {
          signal.throwIfAborted();
          return await poll(AbortSignal.any([turn.signal, signal]));
        } catch (error) {
          signal.throwIfAborted();
          if (!turn.signal.aborted) throw error;
        } finally {
          over.abort();
          leave();
        }
      }
    },
  };
}
