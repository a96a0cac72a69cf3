import { ClientError } from "./errors.ts";

/** For one call. */
export interface CallOptions {
  /** Gives the call up: it fails with `cancelled`. */
  readonly signal?: AbortSignal;
  /** Milliseconds until the call is given up with `deadline-exceeded`. Default: the client's `timeoutMs`. */
  readonly timeoutMs?: number;
}

/** Runs a call and gives its failure the name of what it was about. */
export async function call<T>(subject: string, run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (error) {
    throw ClientError.from(error, subject);
  }
}
