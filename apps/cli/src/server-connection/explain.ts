import { ClientError, tlsTroubleOf } from "@stigmer/client";
import { CliError } from "../errors.ts";

/** What a failed call means for the person at the terminal. Any other error comes back as it is. */
export function explain(error: unknown, endpoint: string): unknown {
  if (!ClientError.is(error)) return error;
  const cause = { cause: error };
  const trouble = tlsTroubleOf(error);
  switch (error.code) {
    case "unavailable": {
      if (wasAnswered(error)) return new CliError("failed", error.message, cause);
      if (trouble) return explainTls(trouble, error, endpoint);
      const advice = "run `stigmer local start`, or name another server in STIGMER_BACKEND_ENDPOINT";
      return new CliError("failed", `Cannot reach stigmer-server at ${endpoint}: ${advice}`, cause);
    }
    case "unauthenticated": {
      const advice = "set STIGMER_API_KEY to a key of that server";
      const text = `stigmer-server at ${endpoint} refuses the key that was shown (${reasonOf(error)}): ${advice}`;
      return new CliError("failed", text, cause);
    }
    default:
      if (trouble) return explainTls(trouble, error, endpoint);
      return new CliError("failed", error.message, cause);
  }
}

function explainTls(trouble: string, error: ClientError, endpoint: string): CliError {
  const advice =
    "STIGMER_TLS_CA_FILE names who vouches for a certificate, https:// in STIGMER_BACKEND_ENDPOINT asks for TLS";
  const text = `Cannot speak to stigmer-server at ${endpoint}: ${trouble}; ${advice}`;
  return new CliError("failed", text, { cause: error });
}

/** What happened, without what the call was about. */
function reasonOf({ cause, message }: ClientError): string {
  const { rawMessage = message } = (cause ?? {}) as { rawMessage?: string };
  return rawMessage;
}

/** Whether a server said so itself, such as one whose disk is full: what it answers has headers. */
function wasAnswered({ cause }: ClientError): boolean {
  const { metadata } = (cause ?? {}) as { metadata?: unknown };
  return metadata instanceof Headers && [...metadata.keys()].length > 0;
}
