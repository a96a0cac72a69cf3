import { toJson } from "@bufbuild/protobuf";
import { type Timestamp, timestampDate } from "@bufbuild/protobuf/wkt";
import { type ApiKey, ApiKeySchema } from "@stigmer/protos/apikey/v1";
import { Role } from "@stigmer/protos/iam/v1";
import type { CommandIo } from "../../command-io.ts";
import { formatTable } from "../../output/table.ts";
import { writeLine } from "../../output/write.ts";

export interface ShowKeysOptions {
  readonly output: "table" | "json";
  /** Said where there is none. */
  readonly empty: string;
  /** Whether they are of more than one organisation. Default false. */
  readonly withOrg?: boolean;
}

export function showKeys(
  keys: readonly ApiKey[],
  { output, empty, withOrg = false }: ShowKeysOptions,
  { stdout, stderr }: Pick<CommandIo, "stdout" | "stderr">,
): void {
  if (output === "json") {
    const all = keys.map((key) => toJson(ApiKeySchema, key));
    writeLine(stdout, JSON.stringify(all, null, 2));
    return;
  }
  if (keys.length === 0) {
    writeLine(stderr, empty);
    return;
  }
  const rows = keys.map((key) => [
    key.metadata?.name ?? "",
    key.metadata?.id ?? "",
    ...(withOrg ? [key.metadata?.org || "-"] : []),
    roleNameOf(key),
    `…${key.spec?.fingerprint}`,
    key.spec?.neverExpires ? "never" : timeOf(key.spec?.expiresAt),
    timeOf(key.status?.lastUsedAt) || "never",
  ]);
  const header = ["NAME", "ID", ...(withOrg ? ["ORG"] : []), "ROLE", "KEY", "EXPIRES", "LAST USED"];
  stdout.write(formatTable(header, rows));
}

/** What a key says of its role; one that says nothing is a member's. */
export function roleNameOf({ spec }: ApiKey): string {
  return Role[spec?.role || Role.MEMBER].toLowerCase();
}

/** Until when a key is good, in words. */
export function endOf({ spec }: ApiKey): string {
  return spec?.neverExpires ? "good until it is revoked" : `good until ${timeOf(spec?.expiresAt)}`;
}

function timeOf(time: Timestamp | undefined): string {
  return time
    ? timestampDate(time)
        .toISOString()
        .replace(/\.\d+Z$/, "Z")
    : "";
}
