import { setTimeout as sleep } from "node:timers/promises";
import { AgentError } from "../errors.ts";

/** Clocks that are kept by NTP differ by less; milliseconds. */
const PATIENCE_MS = 5_000;

export interface WaitUntilPastOptions {
  /** For the error. */
  readonly threadId: string;
  /** Milliseconds since 1970. Default `Date.now`. */
  readonly clock?: () => number;
}

/**
 * The latest checkpoint of a thread may have been put on a machine whose clock is before this one's. What is put next has to be later:
 * resolves as soon as that is so. Throws `AgentError` `checkpoint` when it takes more than five seconds.
 */
export async function waitUntilPast(
  id: string,
  { threadId, clock = () => Date.now() }: WaitUntilPastOptions,
): Promise<void> {
  const at = timeOf(id);
  if (at === undefined) return;
  for (let aheadMs = at - clock(); aheadMs >= 0; aheadMs = at - clock()) {
    if (aheadMs > PATIENCE_MS) {
      throw new AgentError(
        "checkpoint",
        `The conversation ${threadId} was last written at ${new Date(at).toISOString()}, which by the clock of this machine is in ` +
          `${Math.ceil(aheadMs / 1_000)} seconds: what is said now would be taken for older than that. Have the clocks of all runners set by ` +
          "NTP; if that was done meanwhile, wait until then, or start a new session.",
      );
    }
    await sleep(aheadMs + 1);
  }
}

/** A version 6 UUID, LangGraph's kind of id: 60 bits of time, in units of 100 ns since 1582 (RFC 9562, 5.6). Undefined for any other id. */
function timeOf(id: string): number | undefined {
  const [, high, low] = /^([\da-f]{8}-[\da-f]{4})-6([\da-f]{3})-/iu.exec(id) ?? [];
  if (high === undefined || low === undefined) return undefined;
  const ticks = BigInt(`0x${high.replace("-", "")}${low}`);
  return Number(ticks / 10_000n) + Date.UTC(1582, 9, 15);
}
