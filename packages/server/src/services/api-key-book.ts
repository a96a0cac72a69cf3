import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import { type ApiKey, ApiKeySchema } from "@stigmer/protos/apikey/v1";
import { Role } from "@stigmer/protos/iam/v1";
import type { ApiKeyBook, StoredApiKey } from "../interceptors/principal.ts";
import { roleNameOf } from "../interceptors/role.ts";
import type { Logger } from "../logger.ts";
import { StoreError } from "../store/errors.ts";
import type { Store } from "../store/store.ts";
import { shareAnswers } from "./share-answers.ts";

/** A key as its book has it. */
export interface BookedApiKey extends StoredApiKey {
  readonly id: string;
  /** Milliseconds since 1970; 0 before the first use. */
  readonly lastUsedAt: number;
}

export interface ApiKeyBookOptions {
  readonly store: Pick<Store, "resources" | "transaction">;
  readonly logger: Logger;
  /** In local mode a key without a role is its owner's. */
  readonly mode: "local" | "cloud";
  /** Milliseconds since 1970. */
  readonly clock: () => number;
}

/** How exactly `last_used_at` is known: a key that is used all the time costs one write in this time. */
const USE_STEP_MS = 60_000;

/** The stored keys as the authentication of calls needs them. */
export function createApiKeyBook({ store, logger, mode, clock }: ApiKeyBookOptions): ApiKeyBook<BookedApiKey> {
  /** When a key's use was last written, or tried to be. */
  const written = new Map<string, number>();

  async function write(id: string, at: number): Promise<void> {
    await store.transaction(async (tx) => {
      const record = await tx.resources.get("ApiKey", id);
      if (!record) return;
      const key = fromBinary(ApiKeySchema, record.body);
      if (!key.status || lastUseOf(key) >= at) return;
      key.status.lastUsedAt = timestampFromMs(at);
      // It is no change of the key: version and audit stay.
      await tx.resources.replace({ ...record, body: toBinary(ApiKeySchema, key) }, record.version);
    });
  }

  async function find(hash: string): Promise<BookedApiKey | undefined> {
    const [record] = await store.resources.list({ kind: "ApiKey", parentId: hash }, { limit: 1 });
    if (!record) return undefined;
    const key = fromBinary(ApiKeySchema, record.body);
    const { expiresAt, neverExpires, role = Role.UNSPECIFIED } = key.spec ?? {};
    return {
      id: record.id,
      owner: key.status?.audit?.specAudit?.createdBy?.id ?? "",
      org: record.org,
      role: roleNameOf(role) ?? (mode === "local" ? "owner" : "member"),
      expiresAt: neverExpires || !expiresAt ? undefined : timestampMs(expiresAt),
      lastUsedAt: lastUseOf(key),
    };
  }

  return {
    // Before anybody knows whose call it is: calls at once with one key must not have all connections to the database.
    find: shareAnswers(find),
    used: ({ id, lastUsedAt }) => {
      const now = clock();
      if (now - Math.max(lastUsedAt, written.get(id) ?? 0) < USE_STEP_MS) return;
      written.set(id, now);
      write(id, now).catch((error: unknown) => {
        // A server that closes has told everything that matters.
        if (StoreError.is(error) && error.code === "closed") return;
        logger.warn({ apiKeyId: id, err: error }, "the use of an API key was not noted");
      });
    },
  };
}

function lastUseOf({ status }: ApiKey): number {
  return status?.lastUsedAt ? timestampMs(status.lastUsedAt) : 0;
}
