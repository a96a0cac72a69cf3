import type { Redis } from "ioredis";
import type { Logger } from "../engine.ts";
import { clientOptions, explainFailure, placeOf, type RedisAddress } from "./address.ts";

/** A connection that mends itself. What needs Redis does without it while it is away: it holds nothing that may not be lost. */
export interface RedisConnection {
  /** Whether Redis can be asked, and heard, right now. */
  readonly connected: boolean;
  /** For commands. One that is given while Redis is away is refused at once. */
  readonly commands: Redis;
  /**
   * Hears what is published on a channel, while Redis is there. What is published while it is away is lost: `onBack` tells when
   * to look for it. The listener must not throw. Answers how to end it.
   */
  subscribe(channel: string, listener: (message: string) => void): () => void;
  /** Called each time that Redis is back, with all channels heard again. Answers how to end it. */
  onBack(listener: () => void): () => void;
  /** Ends the connection, whatever state it is in. */
  close(): Promise<void>;
}

export interface ConnectRedisOptions {
  readonly logger: Logger;
  /** What a process without Redis does meanwhile, for its log: `Redis is away: <meanwhile>`. */
  readonly meanwhile: string;
  /** Milliseconds until the first connection is given up. Default 5,000. */
  readonly timeoutMs?: number;
}

const RETRY_MOST_MS = 2_000;
const CLOSE_MS = 1_000;
/** How often it is asked whether the connection is one, in milliseconds: a network that swallows everything closes nothing. */
const PING_EVERY_MS = 5_000;
/** How long an answer may take, in milliseconds. */
const COMMAND_TIMEOUT_MS = 3_000;

/** Resolves when Redis takes commands from this user. Throws with the reason in one line, which never holds the password. */
export async function connectRedis(address: RedisAddress, options: ConnectRedisOptions): Promise<RedisConnection> {
  const { logger, timeoutMs = 5_000 } = options;
  const at = { redis: placeOf(address) };
  let standing = false;
  let lost = false;
  const shared = await clientOptions(address).catch((error: unknown) => {
    throw new Error(explainFailure(error, address), { cause: error });
  });
  // Only cloud mode has Redis: local mode does not wait for its client to load.
  const { Redis: RedisClient } = await import("ioredis");
  const [commands, ears] = [connection(), connection()];
  const clients = [commands, ears];
  const channels = new Map<string, Set<(message: string) => void>>();
  const backListeners = new Set<() => void>();
  let heard = false;

  function connection(): Redis {
    return new RedisClient({
      ...shared,
      connectTimeout: timeoutMs,
      commandTimeout: COMMAND_TIMEOUT_MS,
      autoResubscribe: false,
      autoResendUnfulfilledCommands: false,
      // The first connection fails fast; one that stood is mended for as long as the process lives.
      retryStrategy: (times) => (standing ? Math.min(times * 100, RETRY_MOST_MS) : null),
    });
  }

  const isConnected = (): boolean => heard && commands.status === "ready";

  let reason: unknown = new Error(`no answer within ${timeoutMs / 1000} s`);
  for (const client of clients) {
    client.on("error", (error: Error) => {
      reason = error;
      logger.debug({ ...at, reason: explainFailure(error, address) }, "Redis reports an error");
    });
  }
  const late = new Promise<never>((_, reject) => setTimeout(() => reject(reason), timeoutMs).unref());
  try {
    const connecting = Promise.all(clients.map(async (client) => client.connect().then(() => client.ping())));
    await Promise.race([connecting, late]);
  } catch (error) {
    for (const client of clients) client.disconnect();
    // What was rejected with mostly says only that the connection is closed; the error event said why.
    const told = (error as Error).message.startsWith("Connection is closed") ? reason : error;
    throw new Error(explainFailure(told, address), { cause: error });
  }
  standing = true;
  heard = true;
  ears.on("message", (channel, message) => {
    for (const listener of channels.get(channel) ?? []) listener(message);
  });
  ears.on("ready", () => void hearAgain());
  commands.on("ready", settle);
  for (const client of clients) {
    client.on("close", () => {
      if (client === ears) heard = false;
      settle();
    });
  }
  const pinging = setInterval(() => {
    for (const client of clients) {
      if (client.status === "ready") client.ping().catch(() => standing && client.disconnect(true));
    }
  }, PING_EVERY_MS);
  pinging.unref();

  async function hearAgain(): Promise<void> {
    try {
      if (channels.size > 0) await ears.subscribe(...channels.keys());
      heard = ears.status === "ready";
    } catch {
      if (standing) ears.disconnect(true);
    }
    settle();
  }

  /** Draws from the two connections what is true of both. */
  function settle(): void {
    if (!standing || isConnected() !== lost) return;
    lost = !lost;
    if (lost) {
      logger.warn({ ...at, reason: explainFailure(reason, address) }, `Redis is away: ${options.meanwhile}`);
      return;
    }
    logger.info(at, "Redis is back");
    for (const listener of backListeners) listener();
  }

  return {
    get connected() {
      return isConnected();
    },
    commands,
    subscribe(channel, listener) {
      const listeners = channels.get(channel) ?? new Set();
      channels.set(channel, listeners.add(listener));
      if (listeners.size === 1 && ears.status === "ready") {
        ears.subscribe(channel).catch(() => standing && ears.disconnect(true));
      }
      return () => {
        listeners.delete(listener);
        if (listeners.size > 0 || channels.get(channel) !== listeners) return;
        channels.delete(channel);
        if (ears.status === "ready") ears.unsubscribe(channel).catch(() => {});
      };
    },
    onBack(listener) {
      backListeners.add(listener);
      return () => void backListeners.delete(listener);
    },
    async close() {
      standing = false;
      clearInterval(pinging);
      const giveUp = new Promise((resolve) => setTimeout(resolve, CLOSE_MS).unref());
      const quits = clients.filter(({ status }) => status === "ready").map((client) => client.quit().catch(() => {}));
      await Promise.race([Promise.all(quits), giveUp]);
      for (const client of clients) client.disconnect();
    },
  };
}
