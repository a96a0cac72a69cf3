import { randomUUID } from "node:crypto";
import { KEY_PREFIX, type RedisConnection } from "@stigmer/engine/redis";
import type { SandboxHold, SandboxHolds } from "@stigmer/sandbox";
import type { JsonLogger as Logger } from "@stigmer/telemetry";

export interface SandboxHoldsOptions {
  readonly redis: RedisConnection;
  /** Names this runner, for people who look who has a sandbox. */
  readonly runnerId: string;
  readonly logger: Logger;
  /** Milliseconds after which a holder that says nothing is taken for dead. Default 10,000. */
  readonly leaseMs?: number;
  /** Milliseconds that a holder which lives gets to let go. Default 20,000. */
  readonly patienceMs?: number;
}

/** While another one holds it: how often to look, should the word that it was let go be lost. */
const LOOK_EVERY_MS = 500;

// Mine, or nobody's: after Redis was away it may have forgotten whose.
const RENEW = `
local holder = redis.call('get', KEYS[1])
if holder and holder ~= ARGV[1] then return holder end
redis.call('set', KEYS[1], ARGV[1], 'px', ARGV[2])
return ''`;

const RELEASE = `
if redis.call('get', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('del', KEYS[1])
redis.call('publish', ARGV[2], 'free')
return 1`;

/**
 * Leases on the sandboxes of sessions, between runners: a key by session with the holder's token, renewed while it is held. Whoever
 * comes has been given a run of the session by the server, so the one before has none: it is asked to let go, and when it does not
 * in time, loses the lease. What it would still do is then refused: its commands by the fence of its run, its hold on the container by the
 * container's restart. Without Redis nobody is asked, and those two alone decide.
 */
export function createSandboxHolds(options: SandboxHoldsOptions): SandboxHolds {
  const { redis, runnerId, logger, leaseMs = 10_000, patienceMs = 20_000 } = options;

  return {
    async acquire(sessionId, letGo): Promise<SandboxHold> {
      const key = `${KEY_PREFIX}sandbox:${sessionId}`;
      const channel = `${KEY_PREFIX}sandbox-hold:${sessionId}`;
      const token = `${runnerId}/${randomUUID()}`;
      let freed = Promise.withResolvers<void>();
      let held = false;
      const unsubscribe = redis.subscribe(channel, (word) => {
        if (word === "free") freed.resolve();
        else if (held && word !== token) letGo();
      });
      const forgetBack = redis.onBack(() => void renew());
      const renewing = setInterval(() => void renew(), leaseMs / 3);
      renewing.unref();

      /** Answers who holds it instead, or that nobody can tell. */
      async function take(): Promise<string | undefined> {
        try {
          const holder = await redis.commands.eval(RENEW, 1, key, token, leaseMs);
          return String(holder) || undefined;
        } catch (error) {
          logger.debug({ sessionId, err: error }, "Redis can't say who has a session's sandbox");
          return undefined;
        }
      }

      async function renew(): Promise<void> {
        if (!held || !redis.connected) return;
        const holder = await take();
        if (holder === undefined || !held) return;
        logger.warn({ sessionId, holder }, "another runner has taken the session's sandbox; it is let go of here");
        letGo();
      }

      async function claim(): Promise<void> {
        const deadline = performance.now() + patienceMs;
        let waits = false;
        while (true) {
          freed = Promise.withResolvers<void>();
          const holder = await take();
          if (holder === undefined) return;
          if (performance.now() > deadline) {
            logger.warn(
              { sessionId, holder, waitedMs: patienceMs },
              "a runner does not let go of a sandbox; it is taken over",
            );
            await redis.commands.set(key, token, "PX", leaseMs).catch(() => {});
            return;
          }
          if (!waits)
            logger.info({ sessionId, holder }, "waiting for another runner to let go of the session's sandbox");
          waits = true;
          await redis.commands.publish(channel, token).catch(() => {});
          let timer: NodeJS.Timeout | undefined;
          const later = new Promise<void>((resolve) => (timer = setTimeout(resolve, LOOK_EVERY_MS)));
          await Promise.race([freed.promise, later]);
          clearTimeout(timer);
        }
      }

      await claim();
      held = true;
      let released: Promise<void> | undefined;
      const release = async (): Promise<void> => {
        held = false;
        clearInterval(renewing);
        forgetBack();
        unsubscribe();
        await redis.commands.eval(RELEASE, 1, key, token, channel).catch(() => {});
      };
      return { release: () => (released ??= release()) };
    },
  };
}
