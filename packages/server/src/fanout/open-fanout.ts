import { ServerError } from "../errors.ts";
import type { Logger } from "../logger.ts";
import type { Fanout } from "./fanout.ts";
import { createInProcessFanout } from "./in-process.ts";
import type { RedisFanoutOptions } from "./redis/create-redis-fanout.ts";

/** One server alone has the store. */
export interface InProcessFanoutChoice {
  readonly type: "in-process";
}

/** Several servers share the store and have nothing else between them: each looks up what the others did, twice a second. */
export interface PollingFanoutChoice {
  readonly type: "polling";
}

/** Several servers share the store, and tell each other through Redis. The package `ioredis` has to be installed. */
export interface RedisFanoutChoice extends Omit<RedisFanoutOptions, "logger"> {
  readonly type: "redis";
}

export type FanoutChoice = InProcessFanoutChoice | PollingFanoutChoice | RedisFanoutChoice;

/**
 * Makes the fan-out that was chosen. Throws `ServerError` `fanout-unavailable` when its package is missing, or when Redis can't be
 * reached now; once it was, a Redis that goes away is waited for.
 */
export async function openFanout(choice: FanoutChoice, logger: Logger): Promise<Fanout> {
  if (choice.type !== "redis") return createInProcessFanout({ shared: choice.type === "polling" });
  const { type: _type, ...options } = choice;
  // Only who chose it has its package.
  const { Redis } = await import("ioredis").catch((cause: unknown) => {
    const message = "Redis needs the package ioredis beside @stigmer/server: npm install ioredis";
    throw new ServerError("fanout-unavailable", message, { cause });
  });
  const { createRedisFanout } = await import("./redis/create-redis-fanout.ts");
  const fanout = await createRedisFanout(Redis, { ...options, logger: logger }).catch(unreachable);
  await fanout.reached.catch(async (cause: unknown) => {
    await fanout.close();
    return unreachable(cause);
  });
  return fanout;

  function unreachable(cause: unknown): never {
    throw new ServerError("fanout-unavailable", `Failed to connect to Redis: ${(cause as Error).message}`, { cause });
  }
}
