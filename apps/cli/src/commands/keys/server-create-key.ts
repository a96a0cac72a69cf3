import { ConfigError, readServerConfig } from "@stigmer/config";
import { createApiKey, ServerError } from "@stigmer/server";
import type { CommandIo } from "../../command-io.ts";
import { CliError } from "../../errors.ts";
import { writeLine } from "../../output/write.ts";
import { storeOf } from "../server-run.ts";

export interface ServerCreateKeyOptions {
  readonly role: "owner" | "member" | "viewer" | "runner";
  readonly org?: string;
  readonly name?: string;
  /** Milliseconds from now. Default: 30 days. */
  readonly expires?: number | "never";
}

/** Makes a key without a server: whoever has the database may. */
export async function serverCreateKey(options: ServerCreateKeyOptions, io: CommandIo): Promise<void> {
  const { role, org, name, expires } = options;
  const result = readServerConfig({ ...io.env, MODE: io.env["MODE"] || "local" });
  if (!result.ok) throw new ConfigError(result.problems);
  const { config } = result;
  if (role !== "runner" && org === undefined) {
    throw new CliError("usage", "Which organization does the key open? Name it with --org.");
  }
  try {
    const made = await createApiKey({
      store: config.isLocalMode ? storeOf(config) : config.database,
      dataDir: config.homes.dataDir,
      role,
      org,
      name,
      expires: typeof expires === "number" ? new Date(Date.now() + expires) : expires,
    });
    writeLine(io.stdout, made.key);
    const opens = role === "runner" ? "runners" : `${role} of ${org}`;
    const end = made.expiresAt ? `good until ${made.expiresAt.toISOString()}` : "good until it is revoked";
    writeLine(
      io.stderr,
      `Made ${made.id} (${opens}, ${end}). Keep the key now: it is not shown again. STIGMER_API_KEY takes it.`,
    );
  } catch (error) {
    if (ServerError.is(error)) throw new CliError("failed", error.message, { cause: error });
    throw error;
  }
}
