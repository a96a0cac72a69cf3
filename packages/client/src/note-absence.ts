import { Code, ConnectError } from "@connectrpc/connect";

/** What one server, or one before, does not know. */
export interface Absence {
  /** Undefined where the call is not known, or was not a while ago: then it is not made. */
  unlessAbsent<T>(call: () => Promise<T>): Promise<T | undefined>;
}

/** A server that does not know a call is asked for it again after this, in milliseconds: a newer one may stand there by then. */
export const ABSENCE_MS = 60_000;

/** Remembers that a call is not known, for all who share it. `clock`: milliseconds since 1970. */
export function noteAbsence(clock: () => number = () => Date.now()): Absence {
  let notBefore = 0;
  return {
    async unlessAbsent(call) {
      if (clock() < notBefore) return undefined;
      try {
        return await call();
      } catch (error) {
        if (ConnectError.from(error).code !== Code.Unimplemented) throw error;
        notBefore = clock() + ABSENCE_MS;
        return undefined;
      }
    },
  };
}
