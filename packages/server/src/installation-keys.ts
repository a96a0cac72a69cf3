import { randomBytes } from "node:crypto";
import { create } from "@bufbuild/protobuf";
import { timestampFromDate, timestampDate } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import { createId, isSlug, kinds } from "@stigmer/protos";
import { type ApiKey, ApiKeyCommandController, ApiKeySchema } from "@stigmer/protos/apikey/v1";
import { ADMINISTRATOR, administratorsEntry } from "./administrator.ts";
import { ServerError } from "./errors.ts";
import { type PrincipalRole, roleOf } from "./interceptors/role.ts";
import { type Logger, silentLogger } from "./logger.ts";
import type { AuditRecord } from "./store/audit-store.ts";
import type { Store } from "./store/store.ts";
import { openStore, type StoreChoice } from "./open-store.ts";
import { createSecrets } from "./secrets/create-secrets.ts";
import { createAccess } from "./services/access.ts";
import { apiKeyDefinition, makeKey } from "./services/api-keys.ts";
import { createResources, type Resources } from "./services/resources.ts";

/** Where the keys are. */
export interface ApiKeyPlace {
  /** Where the servers keep everything. Default: SQLite, in `dataDir`; no server may run there then. */
  readonly store?: StoreChoice;
  readonly dataDir: string;
  /** Default: says nothing. */
  readonly logger?: Logger;
}

export interface CreateApiKeyOptions extends ApiKeyPlace {
  /** The slug of the organisation that the key opens. A runner's key opens none, and works for all. */
  readonly org?: string;
  readonly role: PrincipalRole;
  /** For people, to tell keys apart. Default: the role. */
  readonly name?: string;
  /** When it ends. Default: in 30 days. */
  readonly expires?: Date | "never";
}

export interface MadeApiKey {
  /** The key itself. It is never shown again: keep it now. */
  readonly key: string;
  readonly id: string;
  /** Its last characters, as lists show it. */
  readonly fingerprint: string;
  readonly expiresAt: Date | undefined;
}

/**
 * Makes a key in the database itself: the first of an installation, where nobody has one to call the server with. Servers that
 * share a Postgres may run meanwhile, and take it at once. Throws `ServerError`.
 */
export async function createApiKey(options: CreateApiKeyOptions): Promise<MadeApiKey> {
  const { org = "", role, name = role, expires } = options;
  if (role !== "runner" && !isSlug(org)) {
    const text = `The organization of a key is a slug (lower-case letters, digits, hyphens): ${JSON.stringify(org)} is none.`;
    throw new ServerError("bad-key-request", text);
  }
  if (role === "runner" && org !== "") {
    throw new ServerError("bad-key-request", "A runner works for all organizations: its key is made without one.");
  }
  if (expires instanceof Date && expires.getTime() <= Date.now()) {
    throw new ServerError("bad-key-request", "A key must be good for a while: its end is past.");
  }
  return withKeys(options, async (keys, tell) => {
    const id = createId("ApiKey");
    const given = create(ApiKeySchema, {
      apiVersion: kinds.ApiKey.apiVersion,
      kind: "ApiKey",
      metadata: { id, name, org },
      spec: {
        role: roleOf(role),
        neverExpires: expires === "never",
        expiresAt: expires instanceof Date ? timestampFromDate(expires) : undefined,
      },
    });
    const { key, toStore } = makeKey(given);
    // Nobody made it: it calls in its own name.
    tell(entryOf("create", { id, org }));
    const { spec } = await keys.create(toStore, { id: `key:${id}`, org, role });
    const expiresAt = spec?.expiresAt && timestampDate(spec.expiresAt);
    return { key, id, fingerprint: spec?.fingerprint ?? "", expiresAt };
  });
}

/** Every key of the installation, of all organisations and the runners', without what they could be used by. Throws `ServerError`. */
export async function listApiKeys(place: ApiKeyPlace): Promise<readonly ApiKey[]> {
  return withKeys(place, async (keys) => {
    const all: ApiKey[] = [];
    let pageToken = "";
    do {
      const { items, nextPageToken } = await keys.select({}, { pageSize: 1000, pageToken }, ADMINISTRATOR);
      all.push(...items);
      pageToken = nextPageToken;
    } while (pageToken !== "");
    return all;
  });
}

/**
 * Deletes a key in the database itself, such as a runner's, which no organisation has in its hands. Running servers refuse it from
 * the next call on. Throws `ServerError`.
 */
export async function deleteApiKey(place: ApiKeyPlace, id: string): Promise<ApiKey> {
  return withKeys(place, async (keys, tell) => {
    try {
      const { metadata } = await keys.get(id, ADMINISTRATOR);
      tell(entryOf("delete", { id, org: metadata?.org ?? "" }));
      return await keys.delete(id, ADMINISTRATOR);
    } catch (error) {
      if (ConnectError.from(error).code !== Code.NotFound) throw error;
      throw new ServerError("bad-key-request", `There is no API key ${id}.`, { cause: error });
    }
  });
}

/** `tell` gives the next change its entry in the audit log: both are stored, or neither. */
async function withKeys<T>(
  place: ApiKeyPlace,
  work: (keys: Resources<ApiKey>, tell: (entry: AuditRecord) => void) => Promise<T>,
): Promise<T> {
  const { dataDir, logger = silentLogger } = place;
  const store = await openStore(place.store ?? {}, { dataDir, logger, alone: false, onLost: () => {} });
  let next: AuditRecord | undefined;
  const transaction: Store["transaction"] = async (doing) => {
    const result = await store.transaction(async (tx) => {
      const done = await doing(tx);
      if (next) await tx.audit.append(next);
      return done;
    });
    next = undefined;
    return result;
  };
  try {
    return await work(
      createResources(apiKeyDefinition(Date.now), {
        store: { ...store, transaction },
        // A key has no secret fields: what is kept of it is a hash.
        secrets: createSecrets(randomBytes(32)),
        access: createAccess("local"),
        onDeleted: async () => {},
        clock: Date.now,
      }),
      (entry) => (next = entry),
    );
  } finally {
    await store.close();
  }
}

function entryOf(method: "create" | "delete", key: { readonly id: string; readonly org: string }): AuditRecord {
  return administratorsEntry({
    org: key.org,
    method: `${ApiKeyCommandController.typeName}/${ApiKeyCommandController.method[method].name}`,
    resourceKind: "ApiKey",
    resourceId: key.id,
  });
}
