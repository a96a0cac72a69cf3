import type { RedisConfig } from "@stigmer/config";
import type { Logger } from "../logger.ts";

/** A connection that mends itself. What needs Redis does without it while it is away: it holds nothing that may not be lost. */
export interface RedisConnection {
  /** Whether Redis can be asked right now. */
  readonly connected: boolean;
  /** Ends the connection, whatever state it is in. */
  close(): Promise<void>;
}

export interface ConnectRedisOptions {
  readonly logger: Logger;
  /** Milliseconds until the first connection is given up. Default 5,000. */
  readonly timeoutMs?: number;
}

const RETRY_MOST_MS = 5_000;
const CLOSE_MS = 1_000;

/** Resolves when Redis takes commands under this password. Throws with the reason, which never holds the password. */
export async function connectRedis(config: RedisConfig, options: ConnectRedisOptions): Promise<RedisConnection> {
  // Only cloud mode has Redis: local mode does not wait for its client to load.
  const { Redis } = await import("ioredis");
  const { logger, timeoutMs = 5_000 } = options;
  const at = { redis: `${config.host}:${config.port}` };
  let standing = false;
  let lost = false;
  let reason = `no answer within ${timeoutMs / 1000} s`;
  const redis = new Redis({
    ...config,
    lazyConnect: true,
    connectTimeout: timeoutMs,
    // The first connection fails fast; one that stood is mended for as long as the runner lives.
    retryStrategy: (times) => (standing ? Math.min(times * 200, RETRY_MOST_MS) : null),
    // Nobody waits for a command while Redis is away.
    enableOfflineQueue: false,
  });
  redis.on("error", (error: Error) => {
    reason = error.message;
    logger.debug({ ...at, reason }, "Redis reports an error");
  });

  const late = new Promise<never>((_, reject) => setTimeout(() => reject(new Error(reason)), timeoutMs).unref());
  try {
    await Promise.race([redis.connect(), late]);
  } catch {
    redis.disconnect();
    // What was rejected with says only that the connection is closed; the error event said why.
    throw new Error(`${at.redis}: ${withoutPassword(reason, config.password)}`);
  }
  standing = true;
  redis.on("close", () => {
    if (lost || !standing) return;
    lost = true;
    logger.warn(at, "Redis is away: the runner works without it and connects again by itself");
  });
  redis.on("ready", () => {
    if (!lost) return;
    lost = false;
    logger.info(at, "Redis is back");
  });

  return {
    get connected() {
      return redis.status === "ready";
    },
    async close() {
      standing = false;
      if (redis.status === "ready") {
        const giveUp = new Promise((resolve) => setTimeout(resolve, CLOSE_MS).unref());
        await Promise.race([redis.quit().catch(() => {}), giveUp]);
      }
      redis.disconnect();
    },
  };
}

function withoutPassword(reason: string, password: string | undefined): string {
  return password ? reason.replaceAll(password, "********") : reason;
}
