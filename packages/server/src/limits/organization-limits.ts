import { ServerError } from "../errors.ts";

/** What one organization may take of a server that others use too. What is not given has no limit. */
export interface OrganizationLimits {
  /** Calls in a second, over time, on each server. Those of runners don't count. */
  readonly callsPerSecond?: number;
  /** Calls at once after a while without one too many; at least `callsPerSecond`, which is the default. */
  readonly callBurst?: number;
  /**
   * Calls that a server works on at a time, those of runners and streams aside. Others wait their turn. Default 3 in cloud mode:
   * fewer than the connections to the database, so that a burst leaves some to others, and enough for hundreds of calls a second.
   * Who has more than these gets them worked on one by one while others are at work.
   */
  readonly maxCalls?: number;
  /** Runs in work at once, over all servers of the database. Others wait. */
  readonly maxRuns?: number;
  /** Runs that wait, beyond which new ones are refused. */
  readonly maxWaitingRuns?: number;
}

/** Throws `ServerError` `bad-limit`. */
export function requireLimits(limits: OrganizationLimits): void {
  for (const [name, value] of Object.entries(limits)) {
    if (value !== undefined && !(Number.isSafeInteger(value) && value >= 1)) {
      throw new ServerError("bad-limit", `limits.${name} is ${String(value)}: expected a whole number, at least 1`);
    }
  }
  const { callsPerSecond, callBurst } = limits;
  if (callBurst !== undefined && callBurst < (callsPerSecond ?? Number.POSITIVE_INFINITY)) {
    const expected = `at least limits.callsPerSecond, which is ${callsPerSecond ?? "not given"}`;
    throw new ServerError("bad-limit", `limits.callBurst is ${callBurst}: expected ${expected}`);
  }
}
