import { clone, equals, fromBinary, type Message, toBinary } from "@bufbuild/protobuf";
import type { GenMessage } from "@bufbuild/protobuf/codegenv2";
import { Code, ConnectError } from "@connectrpc/connect";
import { kinds, type ResourceKind } from "@stigmer/protos";
import { ApiResourceOwnerScope } from "@stigmer/protos/apiresource";
import {
  type ApiResourceAudit,
  type ApiResourceMetadata,
  type ApiResourceReference,
  type ListApiResourcesRequest,
  ListApiResourcesRequestSchema,
} from "@stigmer/protos/apiresource";
import type { Principal } from "../interceptors/principal.ts";
import type { Secrets } from "../secrets/secrets.ts";
import type { ResourceFilter, ResourceRecord } from "../store/resource-store.ts";
import type { Store, StoreTransaction } from "../store/store.ts";
import type { Access, Owner } from "./access.ts";
import { beginDeletion, type Deletion, type TakenAlong } from "./deletion.ts";
import { createLargeCounts } from "./large-counts.ts";
import { addressOf, createdAudit, newMetadata, replacedMetadata, updatedAudit } from "./metadata.ts";
import { readBoundPage } from "./page-tokens.ts";
import { type Page, type PageRequest, readPage } from "./pages.ts";
import { orAfterLostRace, transact } from "./transact.ts";

/** What all resources have in common. */
export type Resource = Message & {
  apiVersion: string;
  kind: string;
  metadata?: ApiResourceMetadata;
  spec?: Message;
  status?: Message & { audit?: ApiResourceAudit };
};

/** What is special about a kind of resource. Whatever throws here throws a ConnectError and undoes the whole call. */
export interface ResourceDefinition<T extends Resource> {
  readonly kind: ResourceKind;
  readonly schema: GenMessage<T>;
  /** The owner scope when none is given. */
  readonly defaultScope: ApiResourceOwnerScope;
  /** What the server says about the resource; `previous` when it is replaced. */
  readonly status: (audit: ApiResourceAudit, given: T, previous?: T) => T["status"];
  /** The id of the resource that it belongs to. */
  readonly parentOf?: (resource: T) => string;
  /** Brings the spec into the form that is stored. */
  readonly normalize?: (next: T, previous?: T) => void;
  /** Refuses what points to something that is not there, or that its writer may not see. */
  readonly checkReferences?: (tx: StoreTransaction, next: T, canRead: (owner: Owner) => boolean) => Promise<void>;
  readonly afterCreate?: (tx: StoreTransaction, created: T, principal: Principal) => Promise<void>;
  /** Refuses to leave others behind, or takes them along; comes back early when the deletion has no rows left. */
  readonly beforeDelete?: (tx: StoreTransaction, resource: T, deletion: Deletion) => Promise<void>;
}

/**
 * Resources of one kind as clients see them, but for secrets: these are sealed in everything that comes out, and become
 * readable or masked at the edge.
 */
export interface Resources<T extends Resource> {
  create(given: T, principal: Principal): Promise<T>;
  /** As a part of something larger. */
  createIn(tx: StoreTransaction, given: T, principal: Principal): Promise<T>;
  update(given: T, principal: Principal): Promise<T>;
  /** As a part of something larger: stores what `change` has made of what is stored, if it says so. Throws NOT_FOUND. */
  changeIn(tx: StoreTransaction, id: string, principal: Principal, change: (stored: T) => boolean): Promise<T>;
  /** Creates, or replaces what has the same address or id; leaves alone what is equal. */
  apply(given: T, principal: Principal): Promise<T>;
  /** As `apply` in a part of something larger, but replaces also what is equal. */
  putIn(tx: StoreTransaction, given: T, principal: Principal): Promise<T>;
  delete(id: string, principal: Principal, options?: DeleteOptions): Promise<T>;
  deleteIn(tx: StoreTransaction, id: string, principal: Principal): Promise<T>;
  /** As a part of the deletion of what it belongs to. */
  removeIn(tx: StoreTransaction, record: ResourceRecord, deletion: Deletion): Promise<void>;
  /** What has the address of the metadata. */
  find(tx: StoreTransaction, given: T, principal: Principal): Promise<T | undefined>;
  /** Throws NOT_FOUND. */
  get(id: string, principal: Principal): Promise<T>;
  /** Throws NOT_FOUND. */
  getByReference(reference: ApiResourceReference, principal: Principal): Promise<T>;
  /** The same for who has to do with there being none. */
  findByReference(reference: ApiResourceReference, principal: Principal): Promise<T | undefined>;
  list(request: ListApiResourcesRequest, principal: Principal): Promise<Page<T>>;
  /** As `Access.listedOrg`. */
  listedOrg(principal: Principal, requested: string): string | undefined;
  /** `page` has the token of a position, which is bound to no filter. */
  select(filter: Omit<ResourceFilter, "kind">, page: PageRequest, principal: Principal): Promise<Page<T>>;
  /** Counts as `LargeCounts` does. */
  count(filter: Omit<ResourceFilter, "kind">, principal: Principal): Promise<number>;
}

export interface DeleteOptions {
  /** Take along what depends on the resource. Default false. */
  readonly force?: boolean;
  /** Why, for the server's log. */
  readonly reason?: string;
}

/** What was deleted, or what of it went so far. */
export interface Deleted extends TakenAlong {
  readonly kind: ResourceKind;
  readonly id: string;
  /** False when the resource is still there, because not all that goes along fitted in one transaction. */
  readonly isGone: boolean;
  readonly principal: Principal;
  readonly reason: string;
}

export interface ResourcesOptions {
  readonly store: Store;
  readonly secrets: Secrets;
  readonly access: Access;
  /** Told of every deletion, and every part of a large one, once it is stored. Must not throw. */
  readonly onDeleted: (deleted: Deleted) => Promise<void>;
  /** Milliseconds since 1970. */
  readonly clock: () => number;
}

export function createResources<T extends Resource>(
  definition: ResourceDefinition<T>,
  { store, secrets, access, onDeleted, clock }: ResourcesOptions,
): Resources<T> {
  const { kind, schema, defaultScope } = definition;
  const counts = createLargeCounts(clock);
  const decode = (record: ResourceRecord): T => fromBinary(schema, record.body);

  async function createIn(tx: StoreTransaction, given: T, principal: Principal): Promise<T> {
    const at = clock();
    const next = clone(schema, given);
    next.metadata = newMetadata(given.metadata, { kind, schema, defaultScope, principal });
    access.requireWrite(principal, next.metadata);
    const stored = await complete(tx, next, { audit: createdAudit(principal, at), principal });
    await tx.resources.insert(recordOf(stored, at, at));
    await definition.afterCreate?.(tx, stored, principal);
    return stored;
  }

  async function replaceIn(
    tx: StoreTransaction,
    given: T,
    { current, principal, keepEqual }: { current: ResourceRecord; principal: Principal; keepEqual: boolean },
  ): Promise<T> {
    access.requireWrite(principal, current);
    const previous = decode(current);
    const at = clock();
    const next = clone(schema, given);
    next.metadata = replacedMetadata(given.metadata, metadataOf(previous), schema);
    const audit = updatedAudit(previous.status?.audit, principal, at);
    const stored = await complete(tx, next, { audit, principal, previous });
    if (keepEqual && saysTheSame(stored, previous)) return previous;
    await tx.resources.replace(recordOf(stored, current.createdAt, at), current.version);
    return stored;
  }

  /** What the client leaves to the server; secrets are sealed. */
  async function complete(
    tx: StoreTransaction,
    next: T,
    { audit, principal, previous }: { audit: ApiResourceAudit; principal: Principal; previous?: T },
  ): Promise<T> {
    next.apiVersion = kinds[kind].apiVersion;
    next.kind = kind;
    next.status = definition.status(audit, next, previous);
    definition.normalize?.(next, previous);
    await definition.checkReferences?.(tx, next, (owner) => access.canRead(principal, owner));
    return secrets.seal(next, previous);
  }

  /** Whether the two differ in nothing that a client can say. */
  function saysTheSame(next: T, previous: T): boolean {
    const comparable = clone(schema, secrets.mask(next));
    comparable.status = previous.status;
    metadataOf(comparable).version = metadataOf(previous).version;
    return secrets.equal(next, previous) && equals(schema, comparable, secrets.mask(previous));
  }

  function recordOf(resource: T, createdAt: number, updatedAt: number): ResourceRecord {
    const { id, org, ownerScope, slug, name, labels, tags, version } = metadataOf(resource);
    const parentId = definition.parentOf?.(resource) ?? "";
    const body = toBinary(schema, resource);
    const columns = { kind, id, org, ownerScope, slug, name, parentId, labels, tags };
    return { ...columns, version: version?.id ?? "", createdAt, updatedAt, body };
  }

  async function findByReference(reference: ApiResourceReference, principal: Principal): Promise<T | undefined> {
    const record = await findReferred(store, reference, { kind, defaultScope, principal, access });
    return record && decode(record);
  }

  async function findVisible(tx: StoreTransaction, id: string, principal: Principal): Promise<ResourceRecord> {
    const record = await tx.resources.get(kind, id);
    if (!record || !access.canRead(principal, record)) throw notFound(kind, id);
    return record;
  }

  /**
   * What a client means that gives a whole resource: the one with its id, or else the one at its address, which is how
   * manifests name it, also with an id that is another server's.
   */
  async function findMeant(tx: StoreTransaction, given: T, principal: Principal): Promise<ResourceRecord | undefined> {
    const address = addressOf(given.metadata, { kind, schema, defaultScope, principal });
    const id = given.metadata?.id ?? "";
    const record =
      (id === "" ? undefined : await tx.resources.get(kind, id)) ?? (await tx.resources.getByAddress(address));
    return record && access.canRead(principal, record) ? record : undefined;
  }

  async function put(
    tx: StoreTransaction,
    { given, principal, keepEqual }: { given: T; principal: Principal; keepEqual: boolean },
  ): Promise<T> {
    const current = await findMeant(tx, given, principal);
    if (!current) return createIn(tx, given, principal);
    return replaceIn(tx, given, { current, principal, keepEqual });
  }

  async function findDeletable(tx: StoreTransaction, id: string, principal: Principal): Promise<ResourceRecord> {
    const record = await findVisible(tx, id, principal);
    access.requireWrite(principal, record);
    return record;
  }

  async function removeIn(tx: StoreTransaction, record: ResourceRecord, deletion: Deletion): Promise<void> {
    await definition.beforeDelete?.(tx, decode(record), deletion);
    if (deletion.rows.left <= 0) return;
    await tx.resources.delete(kind, record.id);
    deletion.rows.left -= 1;
  }

  async function deleteIn(tx: StoreTransaction, id: string, principal: Principal): Promise<T> {
    const record = await findDeletable(tx, id, principal);
    await removeIn(tx, record, beginDeletion(false, Number.POSITIVE_INFINITY));
    return decode(record);
  }

  async function deleteWhole(id: string, principal: Principal, options: DeleteOptions = {}): Promise<T> {
    const { force = false, reason = "" } = options;
    for (;;) {
      const { record, isGone, taken } = await transact(store, async (tx) => {
        const deletion = beginDeletion(force);
        const record = await findDeletable(tx, id, principal);
        await removeIn(tx, record, deletion);
        const isGone = (await tx.resources.get(kind, id)) === undefined;
        return { record, isGone, taken: deletion.taken };
      });
      await onDeleted({ kind, id, isGone, principal, reason, ...taken });
      if (isGone) return decode(record);
    }
  }

  async function select(filter: Omit<ResourceFilter, "kind">, page: PageRequest): Promise<Page<T>> {
    const { items, nextPageToken } = await readPage(page, (query) => store.resources.list({ kind, ...filter }, query));
    return { items: items.map(decode), nextPageToken };
  }

  return {
    create: (given, principal) => transact(store, (tx) => createIn(tx, given, principal)),
    createIn,
    update: (given, principal) =>
      transact(store, async (tx) => {
        const id = given.metadata?.id ?? "";
        const current = id === "" ? await findMeant(tx, given, principal) : await findVisible(tx, id, principal);
        if (!current) throw notFound(kind, given.metadata?.slug || given.metadata?.name || "");
        return replaceIn(tx, given, { current, principal, keepEqual: false });
      }),
    changeIn: async (tx, id, principal, change) => {
      const current = await findVisible(tx, id, principal);
      const stored = decode(current);
      return change(stored) ? replaceIn(tx, stored, { current, principal, keepEqual: false }) : stored;
    },
    apply: (given, principal) =>
      orAfterLostRace(() => transact(store, (tx) => put(tx, { given, principal, keepEqual: true }))),
    putIn: (tx, given, principal) => put(tx, { given, principal, keepEqual: false }),
    delete: deleteWhole,
    deleteIn,
    removeIn,
    find: async (tx, given, principal) => {
      const record = await findMeant(tx, given, principal);
      return record && decode(record);
    },
    get: async (id, principal) => decode(await findVisible(store, id, principal)),
    getByReference: async (reference, principal) => {
      const found = await findByReference(reference, principal);
      if (found) return found;
      throw notFound(kind, `${reference.org || principal.org}/${reference.slug}`);
    },
    findByReference,
    list: ({ org, pageSize, pageToken, tags, labels }, principal) => {
      // The organisation that is meant, also when none was named: a token is good in that one alone.
      const filter = { org: access.listedOrg(principal, org), tags, labels };
      const paged = { list: kind, filter, schema: ListApiResourcesRequestSchema };
      return readBoundPage(paged, { pageSize, pageToken }, (page) => select(filter, page));
    },
    listedOrg: (principal, requested) => access.listedOrg(principal, requested),
    select: (filter, page, principal) =>
      select({ ...filter, org: access.listedOrg(principal, filter.org ?? "") }, page),
    count: (filter, principal) => {
      const scoped = { ...filter, kind, org: access.listedOrg(principal, filter.org ?? "") };
      return counts.count(scoped, (limit) => store.resources.count(scoped, limit));
    },
  };
}

/** What a reference leads to that the caller may see. */
export async function findReferred(
  { resources }: Pick<StoreTransaction, "resources">,
  reference: ApiResourceReference,
  { access, ...about }: Parameters<typeof addressesOf>[1] & { readonly access: Access },
): Promise<ResourceRecord | undefined> {
  for (const address of addressesOf(reference, about)) {
    const record = await resources.getByAddress(address);
    if (record && access.canRead(about.principal, record)) return record;
  }
  return undefined;
}

/** Where a reference may point: without a scope first to the kind's own, then to the platform. */
function addressesOf(
  { scope, org, slug }: ApiResourceReference,
  { kind, defaultScope, principal }: { kind: ResourceKind; defaultScope: ApiResourceOwnerScope; principal: Principal },
): { kind: ResourceKind; org: string; ownerScope: ApiResourceOwnerScope; slug: string }[] {
  const { platform } = ApiResourceOwnerScope;
  const scopes = scope && defaultScope ? [scope] : [...new Set([defaultScope, platform])];
  return scopes.map((ownerScope) => ({
    kind,
    ownerScope,
    slug,
    org: ownerScope === platform ? "" : org || principal.org,
  }));
}

/** Metadata is there in everything that passed the contract's rules. */
export function metadataOf(resource: Resource): ApiResourceMetadata {
  if (!resource.metadata) throw new ConnectError("metadata: is required", Code.InvalidArgument);
  return resource.metadata;
}

export function notFound(kind: string, what: string): ConnectError {
  return new ConnectError(`${kind} ${what} does not exist`, Code.NotFound);
}
