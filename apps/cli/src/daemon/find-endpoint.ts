import type { Homes } from "@stigmer/config";
import { findDaemon } from "./find-daemon.ts";

const DEFAULT_ENDPOINT = "localhost:50051";

/** The server that commands talk to: the one that the environment names, else this home's daemon, else the usual port. */
export async function findEndpoint(options: {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly home: Pick<Homes, "runDir">;
}): Promise<string> {
  return options.env["STIGMER_BACKEND_ENDPOINT"] || (await findDaemon(options.home))?.endpoint || DEFAULT_ENDPOINT;
}
