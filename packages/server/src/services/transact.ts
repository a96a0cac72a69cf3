import { ConnectError } from "@connectrpc/connect";
import { refusalOfStore } from "../interceptors/store-refusals.ts";
import { StoreError } from "../store/errors.ts";
import type { Store, StoreTransaction, TransactionOptions } from "../store/store.ts";

/** Runs `work` in one transaction; what the store refuses is told to the caller by its gRPC code. */
export async function transact<T>(
  store: Pick<Store, "transaction">,
  work: (tx: StoreTransaction) => Promise<T>,
  options?: TransactionOptions,
): Promise<T> {
  try {
    return await store.transaction(work, options);
  } catch (error) {
    if (!StoreError.is(error)) throw error;
    throw refusalOfStore(error);
  }
}

/** How often somebody else may be faster. */
const MAX_RACES = 5;

/**
 * Runs a transaction again that another writer made fail by storing the same thing between this one's look and its write:
 * what reads first and then decides finds the other's work, and goes on from there.
 */
export async function orAfterLostRace<T>(run: () => Promise<T>): Promise<T> {
  for (let races = 1; ; races++) {
    try {
      return await run();
    } catch (error) {
      if (races === MAX_RACES || !isLostRace(error)) throw error;
    }
  }
}

function isLostRace(error: unknown): boolean {
  if (!(error instanceof ConnectError) || !StoreError.is(error.cause)) return false;
  return error.cause.code === "already-exists" || error.cause.code === "conflict";
}
