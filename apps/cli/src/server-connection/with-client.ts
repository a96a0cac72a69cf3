import { createClient, type StigmerClient } from "@stigmer/client";
import { type Backend, ConfigError, readBackend, resolveHome } from "@stigmer/config";
import type { CommandIo } from "../command-io.ts";
import { explain } from "./explain.ts";

export interface Connection {
  readonly client: StigmerClient;
  /** `host:port`. */
  readonly endpoint: string;
}

/** Runs `body` with the server that the environment names, else the local one, and closes the connection after it. */
export async function withClient<T>(io: CommandIo, body: (connection: Connection) => Promise<T>): Promise<T> {
  const { endpoint, apiKey, ca } = await chooseBackend(io);
  const client = createClient({ endpoint, apiKey, ca });
  try {
    return await body({ client, endpoint });
  } catch (error) {
    throw explain(error, endpoint);
  } finally {
    client.close();
  }
}

async function chooseBackend({ env }: CommandIo): Promise<Backend> {
  const result = readBackend(env["STIGMER_BACKEND_ENDPOINT"] ? env : await withLocalEndpoint(env));
  if (!result.ok) throw new ConfigError(result.problems);
  return result.backend;
}

/** The local server may have been started on another port than its usual one. */
async function withLocalEndpoint(env: CommandIo["env"]): Promise<CommandIo["env"]> {
  const { findEndpoint } = await import("../daemon/find-endpoint.ts");
  return { ...env, STIGMER_BACKEND_ENDPOINT: await findEndpoint({ env, home: resolveHome(env) }) };
}
