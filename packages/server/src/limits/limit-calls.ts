import { setTimeout as sleep } from "node:timers/promises";
import { create } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import { RetryInfoSchema } from "@stigmer/protos/google/rpc";
import { callerOf, isPublic, type RequestGate } from "../interceptors/principal.ts";
import type { CallAllowance } from "./call-allowance.ts";

export interface LimitCallsOptions {
  /** Finds out who calls. */
  readonly authenticated: RequestGate;
  readonly allowance: CallAllowance;
  readonly callsPerSecond: number;
  /** Milliseconds, of a clock that only goes forward. */
  readonly clock: () => number;
}

interface Refusal {
  readonly org: string;
  readonly until: number;
}

/** Keys that were refused are forgotten when there are so many. */
const MAX_REFUSED = 10_000;

/**
 * How long who comes back before the time that was told has to wait for the next refusal: else a loop of calls is work for the
 * server. Up to twice as long: calls that were held together would come back together.
 */
const HOLD_MS = 1_000;
/** No more refusals are held at a time; the others are given at once. */
const MAX_HELD = 10_000;

/**
 * Refuses the calls of an organization that makes too many (RESOURCE_EXHAUSTED, with the time to wait). Who was refused is
 * refused again by the key alone until that time is over, and not at once: a flood costs neither the reading of bodies nor a look into the
 * store, and slows itself down.
 * Runners work for all organizations and belong to none: they are not limited.
 */
export function limitCalls({ authenticated, allowance, callsPerSecond, clock }: LimitCallsOptions): RequestGate {
  const refused = new Map<string, Refusal>();
  let held = 0;

  async function hold(signal: AbortSignal): Promise<void> {
    if (held >= MAX_HELD) return;
    held += 1;
    await sleep(HOLD_MS * (1 + Math.random()), undefined, { signal, ref: false })
      .catch(() => {})
      .finally(() => (held -= 1));
  }

  function refuse(key: string, { org, until }: Refusal, now: number): never {
    if (refused.size >= MAX_REFUSED) refused.clear();
    refused.set(key, { org, until });
    throw tooManyCalls(org, callsPerSecond, until - now);
  }

  return async (context) => {
    if (isPublic(context.service)) return;
    const key = context.requestHeader.get("authorization") ?? "";
    const earlier = refused.get(key);
    if (earlier) {
      if (clock() < earlier.until) {
        await hold(context.signal);
        throw tooManyCalls(earlier.org, callsPerSecond, Math.max(0, earlier.until - clock()));
      }
      refused.delete(key);
    }
    await authenticated(context);
    const caller = callerOf(context.values);
    if (!caller || caller.role === "runner") return;
    const waitMs = allowance.take(caller.org);
    const now = clock();
    if (waitMs > 0) refuse(key, { org: caller.org, until: now + waitMs }, now);
  };
}

function tooManyCalls(org: string, callsPerSecond: number, waitMs: number): ConnectError {
  const retryDelay = durationFromMs(Math.max(1, Math.ceil(waitMs)));
  return new ConnectError(
    `organization ${org} makes more than ${callsPerSecond} calls a second: slow down, and try again in a moment`,
    Code.ResourceExhausted,
    // In whole seconds, as HTTP has it.
    { "retry-after": String(Math.ceil(waitMs / 1_000)) },
    [{ desc: RetryInfoSchema, value: create(RetryInfoSchema, { retryDelay }) }],
  );
}
