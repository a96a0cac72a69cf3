import { randomUUID } from "node:crypto";
import {
  clientOptions,
  explainFailure,
  KEY_PREFIX,
  placeOf,
  type RedisAddress,
  wakeChannel,
} from "@stigmer/engine/redis";
import type { Redis, RedisOptions } from "ioredis";
import type { Logger } from "../../logger.ts";
import { type Fanout, type FanoutState, MAX_DELTA_BYTES, type RunNotice, type Topic, topicsOf } from "../fanout.ts";
import { createListeners } from "../listeners.ts";
import { decodeMessage, encodeMessage } from "./message.ts";

export interface RedisFanoutOptions extends RedisAddress {
  readonly logger: Logger;
}

export interface RedisFanout extends Fanout {
  /** Resolves when Redis was reached for the first time; rejects, with the reason in one line, when the first try failed. */
  readonly reached: Promise<void>;
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
 * Fan-out by Redis' publish and subscribe, which keeps nothing: losing Redis loses no data. Comes back also when
 * Redis is away, and connects in the background for as long as it takes. Throws when the authority's file can't be read.
 */
export async function createRedisFanout(RedisClient: typeof Redis, options: RedisFanoutOptions): Promise<RedisFanout> {
  const { logger } = options;
  const self = randomUUID();
  const listeners = createListeners();
  const stateListeners: ((state: FanoutState) => void)[] = [];
  const settings: RedisOptions = {
    ...(await clientOptions(options)),
    autoResubscribe: false,
    autoResendUnfulfilledCommands: false,
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
  const reached = Promise.withResolvers<void>();
  reached.promise.catch(ignore);
  let subscribed = false;
  let unsentBytes = 0;
  let droppedTotal = 0;

  for (const client of [publisher, subscriber]) {
    // Without a listener the process would end.
    client.on("error", (error: Error) => (trouble = explainFailure(error, options)));
    client.on("close", () => {
      if (client === subscriber) subscribed = false;
      trouble ??= explainFailure(new Error("the connection was closed"), options);
      settle();
    });
  }
  publisher.on("ready", settle);
  subscriber.on("ready", () => void resubscribe());
  subscriber.on("messageBuffer", (channel: Buffer, message: Buffer) => {
    const decoded = decodeMessage(message);
    if (!decoded || decoded.from === self) return;
    listeners.tell(channel.toString("utf8", KEY_PREFIX.length) as Topic, decoded.notice);
  });
  for (const client of [publisher, subscriber]) client.connect().catch(() => settle());
  const pinging = setInterval(ping, PING_EVERY_MS);
  pinging.unref();

  /** Draws from the two connections what is true of both. */
  function settle(): void {
    if (closed) return;
    const next: FanoutState = subscribed && publisher.status === "ready" ? "live" : "polling";
    const address = placeOf(options);
    if (next === "polling" && !awaySaid && trouble !== undefined) {
      awaySaid = true;
      const reason = trouble;
      reached.reject(new Error(reason));
      logger.warn(
        { address, reason },
        "Redis is away: what other servers do is looked up in the store until it is back",
      );
    } else if (next === "live") {
      reached.resolve();
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
    return KEY_PREFIX + topic;
  }

  function ping(): void {
    for (const client of [publisher, subscriber]) {
      if (client.status === "ready") client.ping().catch(() => closed || client.disconnect(true));
    }
  }

  function send(channel: string, message: Buffer | string): void {
    if (publisher.status !== "ready" || unsentBytes + message.length > MAX_UNSENT_BYTES) {
      droppedTotal += 1;
      return;
    }
    unsentBytes += message.length;
    publisher
      .publish(channel, message)
      .catch(() => (droppedTotal += 1))
      .finally(() => (unsentBytes -= message.length));
  }

  function publish(notice: RunNotice): void {
    const { delta, ...short } = notice;
    const fits = delta !== undefined && delta.length <= MAX_DELTA_BYTES;
    for (const topic of topicsOf(notice)) {
      listeners.tell(topic, notice);
      const sent = fits && topic.startsWith("run:") ? notice : short;
      send(channelOf(topic), encodeMessage({ from: self, notice: sent }));
    }
  }

  return {
    shared: true,
    reached: reached.promise,
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
    wake: (executionId) => send(wakeChannel(executionId), ""),
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
