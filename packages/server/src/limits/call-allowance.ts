export interface CallAllowanceOptions {
  /** Calls in a second, over time. */
  readonly callsPerSecond: number;
  /** Calls at once after a quiet while. */
  readonly callBurst: number;
  /** Milliseconds, of a clock that only goes forward. */
  readonly clock: () => number;
}

/** How many calls each organization has left. */
export interface CallAllowance {
  /** Takes one call out. Answers 0, or, when there is none left, after how many milliseconds there will be; then nothing was taken. */
  take(org: string): number;
}

/** Those who have all their allowance are forgotten when so many have come in since the last time. */
const FORGET_EVERY = 1_000;

/**
 * A token bucket for each organization, kept as the one moment at which it will be full again (the generic cell rate
 * algorithm): nothing has to be filled up as time goes by.
 */
export function createCallAllowance({ callsPerSecond, callBurst, clock }: CallAllowanceOptions): CallAllowance {
  const eachMs = 1_000 / callsPerSecond;
  const wholeMs = eachMs * callBurst;
  const fullAt = new Map<string, number>();
  let newcomers = 0;

  function forgetFull(now: number): void {
    for (const [org, at] of fullAt) if (at <= now) fullAt.delete(org);
    newcomers = 0;
  }

  return {
    take: (org) => {
      const now = clock();
      const known = fullAt.get(org);
      const next = Math.max(now, known ?? 0) + eachMs;
      // A rounding error is no call.
      const missingMs = next - now - wholeMs;
      if (missingMs > 1e-6) return missingMs;
      fullAt.set(org, next);
      if (known === undefined && ++newcomers >= FORGET_EVERY) forgetFull(now);
      return 0;
    },
  };
}
