import type { Logger } from "./logger.ts";
import { openSqliteStore } from "./store/sqlite/create-store.ts";
import { lockDataDir } from "./store/sqlite/lock.ts";
import type { Store } from "./store/store.ts";

/** A file of this machine, in the data directory: nothing to install. */
export interface SqliteStoreChoice {
  readonly type?: "sqlite";
}

/** A database of Postgres 13 or newer; the package `pg` has to be installed beside this one. */
export interface PostgresStoreChoice {
  readonly type: "postgres";
  /** `postgres://user:password@host:port/database`, TLS by `?sslmode=verify-full`. */
  readonly url: string;
  /** How many connections the server opens at most, beside one that keeps the runs its own. Default 10. */
  readonly poolSize?: number;
}

export type StoreChoice = SqliteStoreChoice | PostgresStoreChoice;

export interface StoreNeeds {
  /** Of SQLite, which it takes for itself. */
  readonly dataDir: string;
  readonly logger: Logger;
  /**
   * Whether this server shares the store with none: its engine knows in its own process who works on what. SQLite is never
   * shared.
   */
  readonly alone: boolean;
  /** Another server, that does not share, has taken the store over while this one was cut off from it. */
  readonly onLost: () => void;
}

/**
 * Makes the store that was chosen, and keeps it from servers that would not share it until it is closed. Throws
 * `ServerError`.
 */
export async function openStore(choice: StoreChoice, { dataDir, logger, ...hold }: StoreNeeds): Promise<Store> {
  if (choice.type === "postgres") {
    // Only who chose it has its package, and waits for it to be read.
    const { openPostgresStore } = await import("./store/postgres/create-store.ts");
    const { url, poolSize } = choice;
    return openPostgresStore({ url, poolSize, logger, hold });
  }
  const lock = lockDataDir(dataDir);
  try {
    const store = openSqliteStore({ dataDir });
    return { ...store, close: () => store.close().finally(() => lock.release()) };
  } catch (error) {
    lock.release();
    throw error;
  }
}
