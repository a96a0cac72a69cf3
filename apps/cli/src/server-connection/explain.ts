import { ClientError } from "@stigmer/client";
import { CliError } from "../errors.ts";

/** What a failed call means for the person at the terminal. Any other error comes back as it is. */
export function explain(error: unknown, endpoint: string): unknown {
  if (!ClientError.is(error)) return error;
  const cause = { cause: error };
  switch (error.code) {
    case "unavailable": {
      if (wasAnswered(error)) return new CliError("failed", error.message, cause);
      const advice = "run `stigmer local start`, or name another server in STIGMER_BACKEND_ENDPOINT";
      return new CliError("failed", `Cannot reach stigmer-server at ${endpoint}: ${advice}`, cause);
    }
    case "unauthenticated": {
      const advice = "set STIGMER_API_KEY to a key of that server";
      return new CliError("failed", `stigmer-server at ${endpoint} refuses the key that was shown: ${advice}`, cause);
    }
    default:
      return new CliError("failed", error.message, cause);
  }
}

/** Whether a server said so itself, such as one whose disk is full: what it answers has headers. */
function wasAnswered({ cause }: ClientError): boolean {
  const { metadata } = (cause ?? {}) as { metadata?: unknown };
  return metadata instanceof Headers && [...metadata.keys()].length > 0;
}
