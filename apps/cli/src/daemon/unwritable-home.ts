import type { Homes } from "@stigmer/config";
import { CliError } from "../errors.ts";

/** For a home that the daemon's own files can't be made in. */
export function unwritableHome({ home }: Homes, cause: unknown): CliError {
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new CliError(
    "failed",
    `Cannot write to ${home}: ${reason}. Make it writable, or choose another directory with STIGMER_HOME.`,
    { cause },
  );
}
