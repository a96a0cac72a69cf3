import { toJson } from "@bufbuild/protobuf";
import { type Timestamp, timestampDate, timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { StigmerClient } from "@stigmer/client";
import { type ApiKey, ApiKeySchema } from "@stigmer/protos/apikey/v1";
import { Role } from "@stigmer/protos/iam/v1";
import type { CommandIo } from "../../command-io.ts";
import { CliError } from "../../errors.ts";
import { formatTable } from "../../output/table.ts";
import { writeLine } from "../../output/write.ts";
import { withClient } from "../../server-connection/with-client.ts";

export interface CreateKeyOptions {
  readonly name: string;
  readonly role?: "owner" | "member" | "viewer";
  /** Milliseconds from now. Default: 30 days. */
  readonly expires?: number | "never";
  readonly output: "text" | "json";
}

const ROLES = { owner: Role.OWNER, member: Role.MEMBER, viewer: Role.VIEWER } as const;

/** The key goes to stdout and nowhere else. */
export async function createKey(
  { name, role = "member", expires, output }: CreateKeyOptions,
  io: CommandIo,
): Promise<void> {
  await withClient(io, async ({ client }) => {
    const { key, apiKey } = await client.apiKeys.create({
      name,
      role: ROLES[role],
      neverExpires: expires === "never",
      ...(typeof expires === "number" && { expiresAt: timestampFromMs(Date.now() + expires) }),
    });
    if (output === "json") {
      writeLine(io.stdout, JSON.stringify({ key, apiKey: toJson(ApiKeySchema, apiKey) }, null, 2));
      return;
    }
    writeLine(io.stdout, key);
    const { id } = apiKey.metadata ?? {};
    writeLine(io.stderr, `Made ${id} (${nameOf(apiKey)}, ${endOf(apiKey)}). Keep the key now: it is not shown again.`);
  });
}

export async function listKeys({ output }: { readonly output: "table" | "json" }, io: CommandIo): Promise<void> {
  await withClient(io, async ({ client }) => {
    const keys = await allKeys(client);
    if (output === "json") {
      writeLine(
        io.stdout,
        JSON.stringify(
          keys.map((key) => toJson(ApiKeySchema, key)),
          null,
          2,
        ),
      );
      return;
    }
    if (keys.length === 0) {
      writeLine(io.stderr, "There is no API key of yours yet.");
      return;
    }
    const rows = keys.map((key) => [
      key.metadata?.name ?? "",
      key.metadata?.id ?? "",
      nameOf(key),
      `…${key.spec?.fingerprint}`,
      key.spec?.neverExpires ? "never" : timeOf(key.spec?.expiresAt),
      timeOf(key.status?.lastUsedAt) || "never",
    ]);
    io.stdout.write(formatTable(["NAME", "ID", "ROLE", "KEY", "EXPIRES", "LAST USED"], rows));
  });
}

export async function revokeKey({ key: wanted }: { readonly key: string }, io: CommandIo): Promise<void> {
  await withClient(io, async ({ client }) => {
    const found = (await allKeys(client)).filter(({ metadata, spec }) =>
      [metadata?.id, metadata?.name, metadata?.slug, spec?.fingerprint].includes(wanted.replace(/^…/, "")),
    );
    const [key, ...others] = found;
    if (!key)
      throw new CliError(
        "failed",
        `No API key of yours is called ${JSON.stringify(wanted)}: see \`stigmer key list\`.`,
      );
    if (others.length > 0) {
      const ids = found.map(({ metadata }) => metadata?.id).join(", ");
      throw new CliError(
        "failed",
        `${found.length} API keys are called ${JSON.stringify(wanted)}: name one by its id (${ids}).`,
      );
    }
    await client.apiKeys.delete(key.metadata?.id ?? "");
    writeLine(io.stdout, `API key ${key.metadata?.id} revoked`);
  });
}

async function allKeys(client: StigmerClient): Promise<readonly ApiKey[]> {
  return Array.fromAsync(client.apiKeys.list());
}

/** What a key says of its role; one that says nothing is a member's. */
function nameOf({ spec }: ApiKey): string {
  return Role[spec?.role || Role.MEMBER].toLowerCase();
}

function endOf({ spec }: ApiKey): string {
  return spec?.neverExpires ? "good until it is revoked" : `good until ${timeOf(spec?.expiresAt)}`;
}

function timeOf(time: Timestamp | undefined): string {
  return time
    ? timestampDate(time)
        .toISOString()
        .replace(/\.\d+Z$/, "Z")
    : "";
}
