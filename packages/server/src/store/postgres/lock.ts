import { setTimeout as sleep } from "node:timers/promises";
import type { Client } from "pg";
import { ServerError } from "../../errors.ts";
import type { Logger } from "../../logger.ts";
import { LOCK_SPACE, lockOf, migrate } from "./migrate.ts";

export interface DatabaseLockOptions {
  /** Open; the lock's alone from now on. */
  readonly client: Client;
  createClient(): Client;
  /** For people. */
  readonly address: string;
  readonly logger: Logger;
  readonly hold: DatabaseHold;
}

/** How a server has the runs of a database: alone, or beside others that share them. */
export interface DatabaseHold {
  readonly alone: boolean;
  /** Another server, that does not share, took the runs over while this one's connection was broken. */
  readonly onLost: () => void;
}

/** Keeps the runs of a database from servers that would not share them. */
export interface DatabaseLock {
  /** Safe to call twice. */
  release(): Promise<void>;
}

/** A server that was killed a moment ago may have to be noticed first, in milliseconds. */
const PATIENCE_MS = 5_000;
const RETRY_AFTER_MS = 250;
/** How often the connection is tried, and how long it has to answer, in milliseconds. */
const CHECK_EVERY_MS = 5_000;
const ANSWER_WITHIN_MS = 4_000;

const TRY_ALONE = `SELECT pg_try_advisory_lock(${lockOf("runs")}) AS taken`;
const TRY_SHARED = `SELECT pg_try_advisory_lock_shared(${lockOf("runs")}) AS taken`;

/** By whom it is held; an object's number has no sign here. */
const HOLDERS = `
  SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 2 AND classid::bigint = ${LOCK_SPACE}
    AND objid::bigint = hashtext('runs ' || current_schema())::bigint & 4294967295
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`;

/**
 * Takes the runs of a database for this server until it releases them or dies. Alone where the engine remembers in its own
 * process which runner has which run: two such would take each other's for lost. Throws `ServerError` `already-running`.
 */
export async function lockDatabase(options: DatabaseLockOptions): Promise<DatabaseLock> {
  const { createClient, address, logger, hold } = options;
  const attempt = hold.alone ? TRY_ALONE : TRY_SHARED;
  const stop = new AbortController();
  let client = options.client;
  let backend: number | undefined;
  let regaining: Promise<void> | undefined;

  if (!(await take(client, attempt, PATIENCE_MS))) {
    throw new ServerError(
      "already-running",
      `Another Stigmer server uses the database ${address}, and ${hold.alone ? "this one would not share it" : "does not share it"}: ` +
        "stop it, or choose another database with STIGMER_DATABASE_URL. Servers share a database with Temporal as their engine and a fan-out.",
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
    let lost = false;
    const lose = (): void => {
      if (lost || stop.signal.aborted) return;
      lost = true;
      clearInterval(timer);
      // Postgres may yet hear this, and let go.
      void held.end().catch(() => {});
      regaining = regain();
    };
    // A way that swallows everything ends no connection.
    const timer = setInterval(() => void isAlive(held).then((alive) => (alive ? undefined : lose())), CHECK_EVERY_MS);
    stop.signal.addEventListener("abort", () => clearInterval(timer), { once: true });
    held.once("end", lose);
    backend = await backendOf(held);
  }

  async function regain(): Promise<void> {
    logger.warn({ database: address }, "the connection that keeps this database's runs was lost; taking them again");
    while (!stop.signal.aborted) {
      const next = createClient();
      next.on("error", () => {});
      try {
        await next.connect();
        if (await take(next, attempt, 0)) {
          // Others may have brought the schema to what this program can't use.
          await migrate(next, { address, stays: true });
          logger.info({ database: address }, "this server keeps the database's runs again");
          return await watch(next);
        }
        const holders = await holdersOf(next);
        await next.end();
        // Our own, of which Postgres has not heard yet that it is broken, is waited for.
        if (holders.some((holder) => holder !== backend)) return hold.onLost();
      } catch (error) {
        await next.end().catch(() => {});
        if (ServerError.is(error)) return hold.onLost();
      }
      await sleep(RETRY_AFTER_MS, undefined, { signal: stop.signal }).catch(() => {});
    }
  }
}

async function take(client: Client, attempt: string, patienceMs: number): Promise<boolean> {
  const until = Date.now() + patienceMs;
  while (true) {
    const { rows } = await client.query<{ taken: boolean }>(attempt);
    if (rows[0]?.taken === true) return true;
    if (Date.now() >= until) return false;
    await sleep(RETRY_AFTER_MS);
  }
}

async function isAlive(client: Client): Promise<boolean> {
  const timeout = sleep(ANSWER_WITHIN_MS, false, { ref: false });
  return Promise.race([client.query("SELECT 1").then(() => true), timeout]).catch(() => false);
}

async function backendOf(client: Client): Promise<number | undefined> {
  const { rows } = await client.query<{ pid: number }>("SELECT pg_backend_pid() AS pid").catch(() => ({ rows: [] }));
  return rows[0]?.pid;
}

async function holdersOf(client: Client): Promise<number[]> {
  return (await client.query<{ pid: number }>(HOLDERS)).rows.map(({ pid }) => pid);
}
