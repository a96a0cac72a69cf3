import { Code, ConnectError } from "@connectrpc/connect";
import type { StoreError, StoreErrorCode } from "../store/errors.ts";

const CODES: Readonly<Record<StoreErrorCode, Code>> = {
  "already-exists": Code.AlreadyExists,
  conflict: Code.Aborted,
  closed: Code.Unavailable,
  "too-large": Code.InvalidArgument,
  // Runners and clients try again what is unavailable, and give up what exhausts a resource.
  "disk-full": Code.Unavailable,
  unavailable: Code.Unavailable,
};

/** What a caller is told of a store's refusal. */
export function refusalOfStore(error: StoreError): ConnectError {
  return new ConnectError(error.message, CODES[error.code], undefined, undefined, error);
}
