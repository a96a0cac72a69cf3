import { Code, ConnectError } from "@connectrpc/connect";
import { StoreError, type StoreErrorCode } from "../store/errors.ts";
import type { Store, StoreTransaction } from "../store/store.ts";

const CODES: Readonly<Record<StoreErrorCode, Code>> = {
  "already-exists": Code.AlreadyExists,
  conflict: Code.Aborted,
  closed: Code.Unavailable,
};

/** Runs `work` in one transaction; what the store refuses is told to the caller by its gRPC code. */
export async function transact<T>(
  store: Pick<Store, "transaction">,
  work: (tx: StoreTransaction) => Promise<T>,
): Promise<T> {
  try {
    return await store.transaction(work);
  } catch (error) {
    if (!StoreError.is(error)) throw error;
    throw new ConnectError(error.message, CODES[error.code], undefined, undefined, error);
  }
}
