import { setTimeout as sleep } from "node:timers/promises";
import type { Client } from "pg";
import { ServerError } from "../../errors.ts";
import type { Logger } from "../../logger.ts";
import { LOCK_SPACE, lockOf } from "./migrations.ts";

export interface DatabaseLockOptions {
  /** Open; the lock's alone from now on. */
  readonly client: Client;
  createClient(): Client;
  /** For people. */
  readonly address: string;
  readonly logger: Logger;
  /** Another server took the lock while this one's connection was broken. */
  readonly onLost: () => void;
}

/** A database whose runs are one server's alone. */
export interface DatabaseLock {
  /** Safe to call twice. */
  release(): Promise<void>;
}

/** A server that was killed a moment ago may have to be noticed first, in milliseconds. */
const PATIENCE_MS = 5_000;
const RETRY_AFTER_MS = 250;

const TRY = `SELECT pg_try_advisory_lock(${lockOf("runs")}) AS taken`;

/** By whom; an object's number has no sign here. */
const HOLDER = `
  SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 2 AND classid::bigint = ${LOCK_SPACE}
    AND objid::bigint = hashtext('runs ' || current_schema())::bigint & 4294967295
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`;

/**
 * Takes the runs of a database for this server until it releases them or dies: an engine remembers in its own process which
 * runner has which run, so that two would take each other's for lost. Throws `ServerError` `already-running`.
 */
export async function lockDatabase(options: DatabaseLockOptions): Promise<DatabaseLock> {
  const { createClient, address, logger, onLost } = options;
  const stop = new AbortController();
  let client = options.client;
  let backend: number | undefined;
  let regaining: Promise<void> | undefined;

  if (!(await take(client, PATIENCE_MS))) {
    throw new ServerError(
      "already-running",
      `Another Stigmer server keeps the runs of the database ${address}: stop it, or choose another database with STIGMER_DATABASE_URL.`,
    );
  }
  await watch(client);
  return {
    release: async () => {
      stop.abort();
      await regaining;
      await client.end().catch(() => {});
    },
  };

  async function watch(held: Client): Promise<void> {
    client = held;
    held.once("end", () => {
      if (!stop.signal.aborted) regaining = regain();
    });
    backend = await backendOf(held);
  }

  async function regain(): Promise<void> {
    logger.warn({ database: address }, "the connection that keeps this database's runs was lost; taking them again");
    while (!stop.signal.aborted) {
      const next = createClient();
      next.on("error", () => {});
      try {
        await next.connect();
        if (await take(next, 0)) {
          logger.info({ database: address }, "this server keeps the database's runs again");
          return await watch(next);
        }
        const holder = await holderOf(next);
        await next.end();
        // Ours, of which Postgres has not heard yet that it is broken, is waited for.
        if (holder !== undefined && holder !== backend) return onLost();
      } catch {
        await next.end().catch(() => {});
      }
      await sleep(RETRY_AFTER_MS, undefined, { signal: stop.signal }).catch(() => {});
    }
  }
}

async function take(client: Client, patienceMs: number): Promise<boolean> {
  const until = Date.now() + patienceMs;
  while (true) {
    const { rows } = await client.query<{ taken: boolean }>(TRY);
    if (rows[0]?.taken === true) return true;
    if (Date.now() >= until) return false;
    await sleep(RETRY_AFTER_MS);
  }
}

async function backendOf(client: Client): Promise<number | undefined> {
  const { rows } = await client.query<{ pid: number }>("SELECT pg_backend_pid() AS pid").catch(() => ({ rows: [] }));
  return rows[0]?.pid;
}

async function holderOf(client: Client): Promise<number | undefined> {
  return (await client.query<{ pid: number }>(HOLDER)).rows[0]?.pid;
}
