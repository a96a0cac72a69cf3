import { setTimeout as sleep } from "node:timers/promises";
import type { Pool, PoolClient } from "pg";
import { StoreError } from "../errors.ts";
import { createSql, type Query, type QueryResult, type Sql } from "./sql.ts";
import { troubleOf } from "./trouble.ts";

/** How the roles of a store use its connections. Errors of the database come as `StoreError` where there is a code for them. */
export interface Connections {
  /** Statements that are each stored by themselves; `work` runs again when Postgres breaks one off for the sake of others. */
  each<T>(work: (sql: Sql) => Promise<T>): Promise<T>;
  /** One transaction. `work` runs again when Postgres breaks it off for the sake of others. */
  transaction<T>(options: TransactionOptions, work: (sql: Sql) => Promise<T>): Promise<T>;
  /** Ends what is under way, then refuses more. */
  close(): Promise<void>;
}

export interface TransactionOptions {
  readonly isolation: Isolation;
  /** One of `lockOf`, held from before `work` looks at anything to the end: who wants the same one waits. */
  readonly lock?: string;
}

/**
 * `serializable`: as if it were alone, for work that reads and then writes what it likes. `read committed`: for work that
 * locks what it decides by.
 */
export type Isolation = "serializable" | "read committed";

/** How often work is begun before it is given up. */
const MAX_ATTEMPTS = 12;
/** The longest wait before the second attempt, in milliseconds; doubled with each further one. */
const FIRST_DELAY_MS = 5;
const MAX_DELAY_MS = 200;

export function createConnections(pool: Pool): Connections {
  const underWay = new Set<Promise<unknown>>();
  const sql = createSql((query) => withClient(pool, (client) => client.query(query)));
  let closing: Promise<void> | undefined;

  async function track<T>(work: () => Promise<T>): Promise<T> {
    if (closing) throw new StoreError("closed", "The store is closed.");
    const running = repeating(work).catch((error: unknown) => {
      throw asStoreError(error);
    });
    underWay.add(running);
    try {
      return await running;
    } finally {
      underWay.delete(running);
    }
  }

  return {
    each: (work) => track(() => work(sql)),
    transaction: (options, work) => {
      let repeated = false;
      return track(() => {
        const inTurn = repeated;
        repeated = true;
        return withClient(pool, (client) => runTransaction(client, { ...options, inTurn }, work));
      });
    },
    close: () =>
      (closing ??= (async () => {
        await Promise.allSettled(underWay);
        await pool.end();
      })()),
  };
}

/** A connection that broke is not given to the next one. */
async function withClient<T>(pool: Pool, work: (client: PoolClient) => Promise<T>): Promise<T> {
  const client = await pool.connect();
  let broken = false;
  try {
    return await work(client);
  } catch (error) {
    broken = troubleOf(error) === "disconnected";
    throw error;
  } finally {
    client.release(broken);
  }
}

async function repeating<T>(work: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await work();
    } catch (error) {
      if (troubleOf(error) !== "repeatable" || attempt === MAX_ATTEMPTS) throw error;
      // Not all at the same time again.
      await sleep(Math.random() * Math.min(FIRST_DELAY_MS * 2 ** (attempt - 1), MAX_DELAY_MS));
    }
  }
}

const IS_LOOK = /^\s*SELECT\b/;

interface TransactionAttempt extends TransactionOptions {
  /** After all others that were broken off before: else many that want the same would break each other off all the time. */
  readonly inTurn: boolean;
}

async function runTransaction<T>(
  client: PoolClient,
  { isolation, lock, inTurn }: TransactionAttempt,
  work: (sql: Sql) => Promise<T>,
): Promise<T> {
  let over = false;
  let failure: unknown;
  // A lock on a table is taken before the transaction looks at anything.
  const turn = inTurn ? "; LOCK TABLE transaction_turn IN EXCLUSIVE MODE" : "";
  const taken = lock === undefined ? "" : `; SELECT pg_advisory_xact_lock(${lock})`;
  const begun = client.query(`BEGIN ISOLATION LEVEL ${isolation}${turn}${taken}`);
  let isFirst = true;
  let last: Promise<unknown> = begun.catch(() => {});
  // What `work` asks at once is sent at once: the connection does one after the other, and nothing more after a failure.
  const ask = (query: Query): Promise<QueryResult> => {
    if (over) return Promise.reject(new StoreError("closed", "A transaction was used after its end."));
    // A first look goes along with the beginning. A change waits for it: else it would be stored by itself where that fails.
    const goesAlong = isFirst && IS_LOOK.test(query.text);
    isFirst = false;
    const answer = goesAlong ? client.query(query) : begun.then(() => client.query(query));
    const settled = answer.catch((error: unknown) => {
      failure ??= error;
    });
    last = Promise.all([last, settled]);
    return answer;
  };
  try {
    const value = await work(createSql(ask));
    over = true;
    await last;
    const { command } = await client.query("COMMIT");
    // After a failed statement nothing is stored, also when `work` took no notice of the failure.
    if (command !== "COMMIT") throw failure ?? new Error(`A transaction ended with ${command}.`);
    return value;
  } catch (error) {
    over = true;
    await last;
    // Whatever `work` made of it, this is why.
    const cause: unknown = await begun.then(
      () => (isDecisive(failure) ? failure : error),
      (reason: unknown) => reason,
    );
    // A connection that can't even do this breaks off what is open by itself.
    if (troubleOf(cause) !== "disconnected") await client.query("ROLLBACK");
    throw cause;
  }
}

function isDecisive(failure: unknown): boolean {
  const trouble = troubleOf(failure);
  return trouble !== undefined && trouble !== "taken" && trouble !== "too-large";
}

function asStoreError(error: unknown): unknown {
  const options = { cause: error };
  switch (troubleOf(error)) {
    case "disconnected":
      return new StoreError("unavailable", "The database can't be reached at the moment: try again.", options);
    case "overloaded":
      return new StoreError("unavailable", "The database is overloaded at the moment: try again.", options);
    case "disk-full":
      return new StoreError(
        "disk-full",
        "The database's disk is full: nothing can be stored until there is room.",
        options,
      );
    case "repeatable":
      return new StoreError("conflict", "Others change the same all the time: try again.", options);
    case "taken":
      return new StoreError("already-exists", "It exists already.", options);
    case "too-large":
      return new StoreError("too-large", "A name, slug, id or organization is too long to be found by.", options);
    case undefined:
      return error;
  }
}
