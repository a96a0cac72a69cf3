import type { Client, Pool } from "pg";
import { ServerError } from "../../errors.ts";
import type { Logger } from "../../logger.ts";
import { type DatabaseHold, type DatabaseLock, lockDatabase } from "./lock.ts";
import { migrate } from "./migrate.ts";
import { refuseUnfit } from "./refuse-unfit.ts";
import { isState } from "./trouble.ts";
import { types } from "./values.ts";

export interface PostgresOptions {
  /** `postgres://user:password@host:port/database`. TLS by `?sslmode=verify-full`. */
  readonly url: string;
  /** How many connections this server opens at most. Default 10. */
  readonly poolSize?: number;
  readonly logger: Logger;
  /** Given: keeps the database's runs from servers that would not share them. */
  readonly hold?: DatabaseHold;
}

/** An open database of this program's schema. */
export interface Database {
  readonly pool: Pool;
  /** Of `hold`. */
  readonly lock: DatabaseLock | undefined;
}

/** How long a call waits for a connection, or for one that is free, in milliseconds. */
const CONNECT_TIMEOUT_MS = 15_000;
/** What takes longer than this is broken off, in milliseconds. */
const STATEMENT_TIMEOUT_MS = 60_000;
/** A transaction's server is dead when it says nothing for so long, in milliseconds: what it locked is let go. */
const IDLE_IN_TRANSACTION_MS = 30_000;

/**
 * Settings of every connection. Without sequential scans, serializable transactions lock what they read and not whole tables;
 * each list here has its index. Keepalives let Postgres notice a server whose machine is gone.
 */
const SETTINGS =
  "-c enable_seqscan=off -c tcp_keepalives_idle=15 -c tcp_keepalives_interval=5 -c tcp_keepalives_count=3";

/**
 * Connects, and brings the schema up to date. Throws `ServerError` `database-unreachable` or `database-newer`; no message
 * has the password. With `hold` also `already-running`.
 */
export async function openDatabase({ url, poolSize = 10, logger, hold }: PostgresOptions): Promise<Database> {
  const pg = await import("pg").catch((cause: unknown) => {
    throw unusable("Postgres needs the package pg: install it beside this one (npm install pg).", cause);
  });
  const config = { connectionString: withSettings(url), application_name: "stigmer-server", keepAlive: true, types };
  const createClient = (): Client => new pg.Client({ ...config, connectionTimeoutMillis: CONNECT_TIMEOUT_MS });
  const client = createClient();
  const { host, port, database = "", user = "" } = client;
  const address = `${host}:${port}/${database}`;
  // Between two statements nobody else would hear of its loss.
  client.on("error", () => {});
  let lock: DatabaseLock | undefined;
  try {
    await client.connect();
    await refuseUnfit(client, address);
    // Before the schema changes under another server.
    if (hold) lock = await lockDatabase({ client, createClient, address, logger, hold });
    await migrate(client, { address, stays: hold !== undefined });
    if (!lock) await client.end();
  } catch (cause) {
    await lock?.release();
    await client.end().catch(() => {});
    throw ServerError.is(cause) ? cause : explain(cause, { address, database, user });
  }

  const pool = new pg.Pool({
    ...config,
    max: poolSize,
    pipeline: true,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    idleTimeoutMillis: 30_000,
    statement_timeout: STATEMENT_TIMEOUT_MS,
    // Later than Postgres itself, for when it does not even say so.
    query_timeout: STATEMENT_TIMEOUT_MS + 5_000,
    idle_in_transaction_session_timeout: IDLE_IN_TRANSACTION_MS,
  });
  pool.on("error", (error) => {
    logger.warn(
      { err: error, database: address },
      "a connection to the database was lost; another is opened when it is needed",
    );
  });
  // One that is in use tells its loss here alone when it has nothing to answer.
  pool.on("connect", (connection) => void connection.on("error", () => {}));
  return { pool, lock };
}

function withSettings(text: string): string {
  if (!/^postgres(ql)?:\/\//i.test(text) || !URL.canParse(text)) {
    throw unusable(
      "The database's address is no postgres://user:password@host:port/database: correct STIGMER_DATABASE_URL.",
    );
  }
  const url = new URL(text);
  const given = url.searchParams.get("options");
  url.searchParams.set("options", given === null ? SETTINGS : `${SETTINGS} ${given}`);
  return url.href.replaceAll("+", "%20");
}

interface Whereabouts {
  readonly address: string;
  readonly database: string;
  readonly user: string;
}

/** Why a start came to nothing, for who reads it in a terminal. */
function explain(cause: unknown, { address, database, user }: Whereabouts): ServerError {
  const reason = reasonOf(cause);
  const { code } = cause as { code?: unknown };
  const correct = "correct STIGMER_DATABASE_URL";
  if (code === "3D000") {
    return unusable(
      `Postgres at ${address} has no database "${database}": create it (createdb ${database}), or ${correct}.`,
      cause,
    );
  }
  if ((isState(code) && code.startsWith("28")) || /password/i.test(reason)) {
    return unusable(
      `Postgres at ${address} refuses the user "${user}" (${reason}): ${correct}, its user and password.`,
      cause,
    );
  }
  if (code === "42501") {
    return unusable(
      `The user "${user}" may not make tables in Postgres at ${address} (${reason}): let it (GRANT CREATE ON SCHEMA public TO "${user}"), or ${correct}.`,
      cause,
    );
  }
  if (code === "53300") {
    return unusable(
      `Postgres at ${address} takes no more connections (${reason}): close some, or raise max_connections.`,
      cause,
    );
  }
  if (code === "57P03")
    return unusable(`Postgres at ${address} is not ready (${reason}): try again in a moment.`, cause);
  if (isState(code)) return unusable(`Postgres at ${address} can't be used: ${reason} (${code}).`, cause);
  return unusable(`Postgres can't be reached at ${address} (${reason}): start it, or ${correct}.`, cause);
}

function unusable(message: string, cause?: unknown): ServerError {
  return new ServerError("database-unreachable", message, { cause });
}

/** One host may have several addresses, and an error for each. */
function reasonOf(cause: unknown): string {
  const errors: readonly unknown[] = cause instanceof AggregateError ? cause.errors : [cause];
  return errors.map((error) => (error instanceof Error ? error.message : String(error))).join("; ");
}
