import { randomUUID } from "node:crypto";
import type { Redis, RedisOptions } from "ioredis";
import type { Logger } from "../../logger.ts";
import { type Fanout, type FanoutState, MAX_DELTA_BYTES, type RunNotice, type Topic, topicsOf } from "../fanout.ts";
import { createListeners } from "../listeners.ts";
import { decodeMessage, encodeMessage } from "./message.ts";

export interface RedisFanoutOptions {
  readonly host: string;
  /** Default 6379. */
  readonly port?: number;
  readonly username?: string;
  readonly password?: string;
  /** Encrypts the connection; certificates are checked against the system's authorities. Default false. */
  readonly tls?: boolean;
  /** Keeps apart what shares a Redis. Default `stigmer:`. */
  readonly keyPrefix?: string;
  readonly logger: Logger;
}

/** How often it is asked whether the connection is one, in milliseconds: a network that swallows everything closes nothing. */
const PING_EVERY_MS = 5_000;
/** How long an answer may take, in milliseconds. */
const COMMAND_TIMEOUT_MS = 3_000;
/** How long it waits before it connects again, at most, in milliseconds. */
const MAX_RETRY_DELAY_MS = 2_000;
/** How much may be on its way to a Redis that is slow to take it, in bytes. What comes then is dropped. */
const MAX_UNSENT_BYTES = 8 * 1024 * 1024;
/** How many topics go into one command after a reconnect. */
const SUBSCRIBE_AT_ONCE = 500;

/**
 * Fan-out by Redis' publish and subscribe, which keeps nothing: losing Redis loses no data. Comes back at once, also when
 * Redis is away, and connects in the background for as long as it takes.
 */
export function createRedisFanout(RedisClient: typeof Redis, options: RedisFanoutOptions): Fanout {
  const { host, port = 6379, keyPrefix = "stigmer:", logger } = options;
  const self = randomUUID();
  const listeners = createListeners();
  const stateListeners: ((state: FanoutState) => void)[] = [];
  const settings: RedisOptions = {
    host,
    port,
    username: options.username,
    password: options.password,
    tls: options.tls ? {} : undefined,
    lazyConnect: true,
    enableOfflineQueue: false,
    autoResubscribe: false,
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    connectTimeout: COMMAND_TIMEOUT_MS,
    commandTimeout: COMMAND_TIMEOUT_MS,
    retryStrategy: (attempts) => Math.min(50 * 2 ** Math.min(attempts, 10), MAX_RETRY_DELAY_MS),
  };
  const publisher = new RedisClient(settings);
  const subscriber = new RedisClient(settings);
  let state: FanoutState = "polling";
  let closed = false;
  let awaySaid = false;
  /** Why it is away, as far as it is known. */
  let trouble: string | undefined;
  let subscribed = false;
  let unsentBytes = 0;
  let droppedTotal = 0;

  for (const client of [publisher, subscriber]) {
    // Without a listener the process would end.
    client.on("error", (error: Error) => (trouble = error.message));
    client.on("close", () => {
      if (client === subscriber) subscribed = false;
      trouble ??= "the connection was closed";
      settle();
    });
  }
  publisher.on("ready", settle);
  subscriber.on("ready", () => void resubscribe());
  subscriber.on("messageBuffer", (channel: Buffer, message: Buffer) => {
    const decoded = decodeMessage(message);
    if (!decoded || decoded.from === self) return;
    listeners.tell(channel.toString("utf8", keyPrefix.length) as Topic, decoded.notice);
  });
  for (const client of [publisher, subscriber]) client.connect().catch(() => settle());
  const pinging = setInterval(ping, PING_EVERY_MS);
  pinging.unref();

  /** Draws from the two connections what is true of both. */
  function settle(): void {
    if (closed) return;
    const next: FanoutState = subscribed && publisher.status === "ready" ? "live" : "polling";
    const address = `${host}:${port}`;
    if (next === "polling" && !awaySaid && trouble !== undefined) {
      awaySaid = true;
      const reason = trouble;
      logger.warn(
        { address, reason },
        "Redis is away: what other servers do is looked up in the store until it is back",
      );
    } else if (next === "live") {
      if (awaySaid) logger.info({ address }, "Redis is back");
      awaySaid = false;
      trouble = undefined;
    }
    if (next === state) return;
    state = next;
    for (const listener of stateListeners) listener(next);
  }

  /** All topics anew, after a connection was made. */
  async function resubscribe(): Promise<void> {
    const channels = [...listeners.topics].map(channelOf);
    try {
      for (let at = 0; at < channels.length; at += SUBSCRIBE_AT_ONCE) {
        await subscriber.subscribe(...channels.slice(at, at + SUBSCRIBE_AT_ONCE));
      }
      subscribed = subscriber.status === "ready";
    } catch {
      if (!closed) subscriber.disconnect(true);
    }
    settle();
  }

  function channelOf(topic: Topic): string {
    return keyPrefix + topic;
  }

  function ping(): void {
    for (const client of [publisher, subscriber]) {
      if (client.status === "ready") client.ping().catch(() => closed || client.disconnect(true));
    }
  }

  function send(topic: Topic, message: Buffer): void {
    if (publisher.status !== "ready" || unsentBytes + message.length > MAX_UNSENT_BYTES) {
      droppedTotal += 1;
      return;
    }
    unsentBytes += message.length;
    publisher
      .publish(channelOf(topic), message)
      .catch(() => (droppedTotal += 1))
      .finally(() => (unsentBytes -= message.length));
  }

  function publish(notice: RunNotice): void {
    const { delta, ...short } = notice;
    const fits = delta !== undefined && delta.length <= MAX_DELTA_BYTES;
    for (const topic of topicsOf(notice)) {
      listeners.tell(topic, notice);
      const sent = fits && topic.startsWith("run:") ? notice : short;
      send(topic, encodeMessage({ from: self, notice: sent }));
    }
  }

  return {
    shared: true,
    get state() {
      return state;
    },
    get subscriptions() {
      return listeners.size;
    },
    get droppedTotal() {
      return droppedTotal;
    },
    publish,
    subscribe: (topic, listener) => {
      const first = listeners.add(topic, listener);
      let open = true;
      // Redis answers in order: also for who is not the first, what was asked before is done when a ping comes back.
      const asked = (): Promise<unknown> => (first ? subscriber.subscribe(channelOf(topic)) : subscriber.ping());
      const ready = subscriber.status === "ready" ? asked().then(ignore, ignore) : Promise.resolve();
      const close = (): void => {
        if (!open) return;
        open = false;
        if (!listeners.remove(topic, listener) || subscriber.status !== "ready") return;
        subscriber.unsubscribe(channelOf(topic)).catch(ignore);
      };
      return { ready, close };
    },
    onState: (listener) => void stateListeners.push(listener),
    close: async () => {
      if (closed) return;
      closed = true;
      clearInterval(pinging);
      // What is on its way is of no use to a server that closes; others look it up.
      publisher.disconnect();
      subscriber.disconnect();
    },
  };
}

function ignore(): void {}
