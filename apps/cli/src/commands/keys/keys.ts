import { toJson } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { StigmerClient } from "@stigmer/client";
import { type ApiKey, ApiKeySchema } from "@stigmer/protos/apikey/v1";
import { Role } from "@stigmer/protos/iam/v1";
import type { CommandIo } from "../../command-io.ts";
import { CliError } from "../../errors.ts";
import { writeLine } from "../../output/write.ts";
import { withClient } from "../../server-connection/with-client.ts";
import { endOf, roleNameOf, showKeys } from "./show-keys.ts";

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
    writeLine(
      io.stderr,
      `Made ${id} (${roleNameOf(apiKey)}, ${endOf(apiKey)}). Keep the key now: it is not shown again.`,
    );
  });
}

export async function listKeys({ output }: { readonly output: "table" | "json" }, io: CommandIo): Promise<void> {
  await withClient(io, async ({ client }) => {
    const keys = await allKeys(client);
    showKeys(keys, { output, empty: "There is no API key of yours yet." }, io);
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
