import type { Clock } from "../../clock.ts";

export interface ManualClock extends Clock {
  /** Lets time pass, and the timers that it reaches ring, each at its time. */
  advance(ms: number): void;
  /** Time has passed while this process slept: the timers ring late. */
  oversleep(ms: number): void;
  /** Somebody sets the clock back: it is as much earlier, and the timers ring when they would have. */
  goBack(ms: number): void;
  /** How many timers are set. */
  readonly pending: number;
}

export function createManualClock(): ManualClock {
  let now = 1_000_000;
  const timers = new Set<{ at: number; readonly ring: () => void }>();
  const ringUntil = (end: number, { late }: { readonly late: boolean }): void => {
    while (true) {
      const [next] = [...timers].filter(({ at }) => at <= end).sort((a, b) => a.at - b.at);
      if (!next) break;
      timers.delete(next);
      now = late ? end : Math.max(now, next.at);
      next.ring();
    }
    now = end;
  };
  return {
    now: () => now,
    after: (ms, ring) => {
      const timer = { at: now + ms, ring };
      timers.add(timer);
      return () => timers.delete(timer);
    },
    advance: (ms) => ringUntil(now + ms, { late: false }),
    oversleep: (ms) => ringUntil(now + ms, { late: true }),
    goBack(ms) {
      now -= ms;
      for (const timer of timers) timer.at -= ms;
    },
    get pending() {
      return timers.size;
    },
  };
}
