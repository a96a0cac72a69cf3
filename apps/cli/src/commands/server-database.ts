import { ConfigError, readServerConfig } from "@stigmer/config";
import { ServerError, type StoreChoice } from "@stigmer/server";
import type { CommandIo } from "../command-io.ts";
import { CliError } from "../errors.ts";
import { storeOf } from "./server-run.ts";

/** Does what takes the servers' database, which the environment names, and no server. */
export async function inDatabase<T>(
  io: CommandIo,
  work: (place: { readonly store: StoreChoice; readonly dataDir: string }) => Promise<T>,
): Promise<T> {
  const result = readServerConfig({ ...io.env, MODE: io.env["MODE"] || "local" });
  if (!result.ok) throw new ConfigError(result.problems);
  const { config } = result;
  const store = config.isLocalMode ? storeOf(config) : config.database;
  try {
    return await work({ store, dataDir: config.homes.dataDir });
  } catch (error) {
    if (ServerError.is(error)) throw new CliError("failed", error.message, { cause: error });
    throw error;
  }
}
