// What whoever has the database may do about API keys, without a server.
import { createApiKey, deleteApiKey, listApiKeys } from "@stigmer/server";
import type { CommandIo } from "../../command-io.ts";
import { CliError } from "../../errors.ts";
import { writeLine } from "../../output/write.ts";
import { inDatabase } from "../server-database.ts";
import { showKeys } from "./show-keys.ts";

export interface ServerCreateKeyOptions {
  readonly role: "owner" | "member" | "viewer" | "runner";
  readonly org?: string;
  readonly name?: string;
  /** Milliseconds from now. Default: 30 days. */
  readonly expires?: number | "never";
}

export async function serverCreateKey(options: ServerCreateKeyOptions, io: CommandIo): Promise<void> {
  const { role, org, name, expires } = options;
  if (role !== "runner" && org === undefined) {
    throw new CliError("usage", "Which organization does the key open? Name it with --org.");
  }
  const made = await inDatabase(io, (place) =>
    createApiKey({
      ...place,
      role,
      org,
      name,
      expires: typeof expires === "number" ? new Date(Date.now() + expires) : expires,
    }),
  );
  writeLine(io.stdout, made.key);
  const opens = role === "runner" ? "runners" : `${role} of ${org}`;
  const end = made.expiresAt ? `good until ${made.expiresAt.toISOString()}` : "good until it is revoked";
  writeLine(
    io.stderr,
    `Made ${made.id} (${opens}, ${end}). Keep the key now: it is not shown again. STIGMER_API_KEY takes it.`,
  );
}

/** Of all organisations, and the runners'. */
export async function serverListKeys({ output }: { readonly output: "table" | "json" }, io: CommandIo): Promise<void> {
  const keys = await inDatabase(io, listApiKeys);
  showKeys(
    keys,
    { output, empty: "There is no API key yet: `stigmer server create-key` makes one.", withOrg: true },
    io,
  );
}

export async function serverRevokeKey({ id }: { readonly id: string }, io: CommandIo): Promise<void> {
  await inDatabase(io, (place) => deleteApiKey(place, id));
  writeLine(io.stdout, `API key ${id} revoked`);
}
