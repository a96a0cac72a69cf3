import { randomBytes } from "node:crypto";
import { clone, create } from "@bufbuild/protobuf";
import { type Timestamp, timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, type ConnectRouter } from "@connectrpc/connect";
import { createId, isId, shortenSlug, slugify } from "@stigmer/protos";
import {
  type ApiKey,
  ApiKeyCommandController,
  ApiKeyQueryController,
  ApiKeySchema,
  ApiKeysSchema,
  ApiKeySpecSchema,
  ApiKeyStatusSchema,
} from "@stigmer/protos/apikey/v1";
import { ApiResourceOwnerScope } from "@stigmer/protos/apiresource";
import { Role } from "@stigmer/protos/iam/v1";
import { includesRole } from "../interceptors/permissions.ts";
import { API_KEY_PREFIX, hashOfApiKey, type Principal } from "../interceptors/principal.ts";
import { roleNameOf } from "../interceptors/role.ts";
import type { CallOf } from "./call.ts";
import { invalidField } from "./field-errors.ts";
import { metadataOf, notFound, type ResourceDefinition, type Resources } from "./resources.ts";

const KIND = "ApiKey";
const schema = ApiKeySchema;

/** 256 bits: nobody guesses it, and its plain hash can't be turned back. */
const KEY_BYTES = 32;
const FINGERPRINT_LENGTH = 6;
/** How long a key is good for whose maker says nothing. One that is for ever has to be asked for. */
const DEFAULT_LIFE_MS = 30 * 24 * 60 * 60 * 1000;
/** The last moment that a timestamp can tell. */
const LATEST_MS = Date.UTC(9999, 11, 31, 23, 59, 59);

/** A key belongs to who made it, and is found by its hash. What it opens is decided by `interceptors/principal.ts`. */
export function apiKeyDefinition(clock: () => number): ResourceDefinition<ApiKey> {
  return {
    kind: KIND,
    schema,
    defaultScope: ApiResourceOwnerScope.identity_account,
    status: (audit, _given, previous) =>
      create(ApiKeyStatusSchema, { audit, lastUsedAt: previous?.status?.lastUsedAt }),
    parentOf: ({ spec }) => spec?.keyHash ?? "",
    normalize: (next, previous) => {
      const spec = (next.spec ??= create(ApiKeySpecSchema));
      if (previous?.spec) {
        const { keyHash, fingerprint } = previous.spec;
        Object.assign(spec, { keyHash, fingerprint, role: spec.role || previous.spec.role });
      }
      Object.assign(spec, expiryOf(next, previous, clock()));
    },
  };
}

type Expiry = Pick<NonNullable<ApiKey["spec"]>, "expiresAt" | "neverExpires">;

function expiryOf({ spec }: ApiKey, previous: ApiKey | undefined, now: number): Expiry {
  const before = previous?.spec?.expiresAt;
  if (previous && before && timestampMs(before) <= now) {
    const text = `ApiKey ${previous.metadata?.id} has expired: delete it and make another`;
    throw new ConnectError(text, Code.FailedPrecondition);
  }
  if (spec?.neverExpires) return { neverExpires: true, expiresAt: undefined };
  if (spec?.expiresAt) return { neverExpires: false, expiresAt: future(spec.expiresAt, now) };
  if (previous?.spec) return { neverExpires: previous.spec.neverExpires, expiresAt: before };
  return { neverExpires: false, expiresAt: timestampFromMs(now + DEFAULT_LIFE_MS) };
}

function future(expiresAt: Timestamp, now: number): Timestamp {
  const at = timestampMs(expiresAt);
  const field = "spec.expires_at";
  if (at <= now) throw invalidField({ schema, field, message: "is past: a key must be good for a while" });
  if (at > LATEST_MS)
    throw invalidField({ schema, field, message: "is not a time: set never_expires for a key without end" });
  return expiresAt;
}

export interface ApiKeyServicesOptions {
  readonly keys: Resources<ApiKey>;
  readonly mode: "local" | "cloud";
  readonly callOf: CallOf;
}

export function registerApiKeys(router: ConnectRouter, { keys, mode, callOf }: ApiKeyServicesOptions): void {
  /** What a key without a role may. */
  const unsaid = mode === "local" ? "owner" : "member";

  /**
   * Owners have every key of their organisation. To others keys that are not their own are not there, nor those of their own
   * that may more than they.
   */
  function isOwn(key: ApiKey, principal: Principal): boolean {
    const role = roleNameOf(key.spec?.role ?? Role.UNSPECIFIED) ?? unsaid;
    if (mode === "cloud" && principal.role === "owner") return role !== "runner";
    return ownerOf(key) === principal.id && includesRole(principal.role, role);
  }

  async function findOwn(id: string, principal: Principal): Promise<ApiKey> {
    const key = await keys.get(id, principal);
    if (!isOwn(key, principal)) throw notFound(KIND, id);
    return key;
  }

  /** Nobody hands out more than they have; and runners are the whole installation's, not an organisation's. */
  function requireGrantable({ spec }: ApiKey, principal: Principal): void {
    const said = roleNameOf(spec?.role ?? Role.UNSPECIFIED);
    if (said === "runner") {
      const text = "spec.role: keys of runners are made where the server is: stigmer server create-key --role runner";
      throw new ConnectError(text, Code.PermissionDenied);
    }
    const role = said ?? unsaid;
    if (includesRole(principal.role, role)) return;
    throw new ConnectError(
      `spec.role: a key of role ${role} takes that role to make: yours is ${principal.role}`,
      Code.PermissionDenied,
    );
  }

  async function allOwn(principal: Principal): Promise<ApiKey[]> {
    const own: ApiKey[] = [];
    let pageToken = "";
    do {
      const { items, nextPageToken } = await keys.select({}, { pageSize: 1000, pageToken }, principal);
      own.push(...items.filter((key) => isOwn(key, principal)));
      pageToken = nextPageToken;
    } while (pageToken !== "");
    return own;
  }

  router.service(ApiKeyCommandController, {
    create: async (given, context) => {
      const { principal } = await callOf(context);
      requireGrantable(given, principal);
      const { key, toStore } = makeKey(given);
      const stored = await keys.create(toStore, principal);
      const shown = clone(schema, stored);
      if (shown.spec) shown.spec.keyHash = key;
      return shown;
    },
    update: async (given, context) => {
      const { principal } = await callOf(context);
      const id = given.metadata?.id ?? "";
      if (id === "")
        throw invalidField({ schema, field: "metadata.id", message: "is required: keys may share their names" });
      await findOwn(id, principal);
      if (given.spec?.role) requireGrantable(given, principal);
      return keys.update(given, principal);
    },
    delete: async ({ value }, context) => {
      const { principal } = await callOf(context);
      await findOwn(value, principal);
      return keys.delete(value, principal);
    },
  });
  router.service(ApiKeyQueryController, {
    get: async ({ value }, context) => findOwn(value, (await callOf(context)).principal),
    getByKeyHash: async ({ value }, context) => {
      const { principal } = await callOf(context);
      const { items } = await keys.select({ parentId: value }, { pageSize: 1, pageToken: "" }, principal);
      const [key] = items;
      if (!key || !isOwn(key, principal)) throw notFound(KIND, "of this hash");
      return key;
    },
    findAll: async (_request, context) =>
      create(ApiKeysSchema, { entries: await allOwn((await callOf(context)).principal) }),
  });
}

/** A new key, and what is kept of it. */
export function makeKey(given: ApiKey): { readonly key: string; readonly toStore: ApiKey } {
  const key = API_KEY_PREFIX + randomBytes(KEY_BYTES).toString("base64url");
  return { key, toStore: keyToStore(given, key) };
}

/** What is kept of a new key. Names may be shared, which slugs may not: those that are made get a part of the id. */
function keyToStore(given: ApiKey, key: string): ApiKey {
  const next = clone(schema, given);
  const metadata = metadataOf(next);
  if (metadata.ownerScope === ApiResourceOwnerScope.platform) {
    const message = "must be identity_account or organization: a key is somebody's";
    throw invalidField({ schema, field: "metadata.owner_scope", message });
  }
  if (!isId(metadata.id, KIND)) metadata.id = createId(KIND);
  metadata.slug ||= [shortenSlug(slugify(metadata.name), 7), metadata.id.slice(-6)].filter(Boolean).join("-");
  const { expiresAt, neverExpires, role } = next.spec ?? {};
  const fingerprint = key.slice(-FINGERPRINT_LENGTH);
  next.spec = create(ApiKeySpecSchema, { expiresAt, neverExpires, role, keyHash: hashOfApiKey(key), fingerprint });
  return next;
}

function ownerOf({ status }: ApiKey): string | undefined {
  return status?.audit?.specAudit?.createdBy?.id;
}
