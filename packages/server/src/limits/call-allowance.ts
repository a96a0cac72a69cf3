export interface CallAllowanceOptions {
  /** Calls in a second, over time. */
  readonly callsPerSecond: number;
  /** Calls at once after a quiet while. */
  readonly callBurst: number;
  /** Milliseconds, of a clock that only goes forward. */
  readonly clock: () => number;
}

interface Account {
  /** When it will have all its allowance. */
  fullAt: number;
  /** Until when it has no burst. */
  evenUntil: number;
}

/** How many calls each organization has left. */
export interface CallAllowance {
  /** Takes one call out. Answers 0, or, when there is none left, after how many milliseconds there will be; then nothing was taken. */
  take(org: string): number;
}

/**
 * So much of its allowance has saved up who was refused a moment ago, in milliseconds: what comes back after a refusal is
 * spread over the second, and does not stand before others' calls all at once.
 */
const EVEN_MS = 50;

/** Those who have all their allowance are forgotten when so many have come in since the last time. */
const FORGET_EVERY = 1_000;

/**
 * A token bucket for each organization, kept as the one moment at which it will be full again (the generic cell rate
 * algorithm): nothing has to be filled up as time goes by. Who goes beyond it gets its calls evenly from then on, and a burst
 * again when it has kept to it for as long as a whole one takes to come together.
 */
export function createCallAllowance({ callsPerSecond, callBurst, clock }: CallAllowanceOptions): CallAllowance {
  const eachMs = 1_000 / callsPerSecond;
  const wholeMs = eachMs * callBurst;
  const evenMs = Math.min(wholeMs, Math.max(eachMs, EVEN_MS));
  const accounts = new Map<string, Account>();
  let newcomers = 0;

  function forgetFull(now: number): void {
    for (const [org, { fullAt }] of accounts) if (fullAt <= now) accounts.delete(org);
    newcomers = 0;
  }

  return {
    take: (org) => {
      const now = clock();
      const known = accounts.get(org);
      const account = known ?? { fullAt: now, evenUntil: 0 };
      const savedMs = now < account.evenUntil ? evenMs : wholeMs;
      const next = Math.max(now + wholeMs - savedMs, account.fullAt) + eachMs;
      // A rounding error is no call.
      const missingMs = next - now - wholeMs;
      if (missingMs > 1e-6) {
        account.evenUntil = now + wholeMs;
        return missingMs;
      }
      account.fullAt = next;
      if (known) return 0;
      accounts.set(org, account);
      if (++newcomers >= FORGET_EVERY) forgetFull(now);
      return 0;
    },
  };
}
