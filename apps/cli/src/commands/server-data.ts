import { join } from "node:path";
import { ConfigError, type Homes, readServerConfig } from "@stigmer/config";
import { BackupError, ServerError } from "@stigmer/server";
import type { CommandIo } from "../command-io.ts";
import { CliError } from "../errors.ts";

/** A server's data directory, and the key of its secrets when the environment gives it. */
export interface ServerData {
  readonly homes: Homes;
  readonly encryptionKey: Uint8Array | undefined;
  /** Where the key is, for people. */
  readonly keyPlace: string;
}

/** Finds the data directory that a backup is of, or is restored into. Throws `CliError` where the data is not in files here. */
export function findServerData(env: CommandIo["env"], instead: string): ServerData {
  if (/^postgres(ql)?:/.test(env["STIGMER_DATABASE_URL"]?.trim() ?? "") || env["MODE"]?.trim() === "cloud") {
    throw new CliError("failed", `This server's data is in Postgres, which has tools of its own: use ${instead}.`);
  }
  const result = readServerConfig({ ...env, MODE: env["MODE"] || "local" });
  if (!result.ok) throw new ConfigError(result.problems);
  const { config } = result;
  const { homes, database, encryption } = config;
  if (database.type !== "sqlite" || database.file !== join(homes.dataDir, "stigmer.db")) {
    const text = `The database is always ${join(homes.dataDir, "stigmer.db")}: unset STIGMER_DATABASE_URL, and choose its folder with STIGMER_DATA_DIR.`;
    throw new CliError("failed", text);
  }
  return encryption.type === "key"
    ? { homes, encryptionKey: encryption.key, keyPlace: "STIGMER_ENCRYPTION_KEY" }
    : { homes, encryptionKey: undefined, keyPlace: encryption.path };
}

/** Runs what Ctrl-C ends, with nothing left of it. */
export async function interruptible<T>(io: CommandIo, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const stop = new AbortController();
  const stopListening = io.onSignal(() => stop.abort());
  try {
    return await work(stop.signal);
  } catch (error) {
    if (stop.signal.aborted && error === stop.signal.reason) {
      throw new CliError("interrupted", "Interrupted: nothing was changed.", { cause: error });
    }
    if (BackupError.is(error) || ServerError.is(error)) throw new CliError("failed", error.message, { cause: error });
    throw error;
  } finally {
    stopListening();
  }
}
