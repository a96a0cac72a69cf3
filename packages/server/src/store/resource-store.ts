/** One stored resource: the columns it is found by, and the message itself. */
export interface ResourceRecord {
  readonly kind: string;
  readonly id: string;
  readonly org: string;
  /** Number of `ApiResourceOwnerScope`. */
  readonly ownerScope: number;
  readonly slug: string;
  readonly name: string;
  /**
   * What this one belongs to (instance → agent, session → instance, context → run, organisation → who made it), or what else
   * it is looked up by (API key → its hash), or "".
   */
  readonly parentId: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly tags: readonly string[];
  /** `metadata.version.id`. */
  readonly version: string;
  /** Milliseconds since 1970. */
  readonly createdAt: number;
  readonly updatedAt: number;
  /** The whole resource as protobuf, secrets sealed. */
  readonly body: Uint8Array;
}

export interface ResourceAddress {
  readonly kind: string;
  readonly org: string;
  readonly ownerScope: number;
  readonly slug: string;
}

/** A place in a list ordered by creation, newest first. It stays right while others write. */
export interface PagePosition {
  readonly createdAt: number;
  readonly id: string;
}

export interface ResourceFilter {
  readonly kind: string;
  readonly org?: string;
  readonly ownerScope?: number;
  readonly parentId?: string;
  /** Those whose parent's parent is this one: the sessions of an agent. */
  readonly grandparentId?: string;
  /** All of them must be there. */
  readonly tags?: readonly string[];
  /** All of them must be there with this value. */
  readonly labels?: Readonly<Record<string, string>>;
}

export interface PageQuery {
  readonly limit: number;
  readonly after?: PagePosition;
}

export interface ResourceStore {
  /** Throws `StoreError` `already-exists` when the id, or the slug within kind, org and scope, is taken. */
  insert(record: ResourceRecord): Promise<void>;
  /** Throws `StoreError` `conflict` unless the stored version is `expectedVersion`, and `already-exists` for a taken slug. */
  replace(record: ResourceRecord, expectedVersion: string): Promise<void>;
  get(kind: string, id: string): Promise<ResourceRecord | undefined>;
  getByAddress(address: ResourceAddress): Promise<ResourceRecord | undefined>;
  /** Newest first. */
  list(filter: ResourceFilter, page: PageQuery): Promise<ResourceRecord[]>;
  /** Counts no further than `limit`, so that the answer costs the same however many there are. */
  count(filter: ResourceFilter, limit?: number): Promise<number>;
  /** False when there was none. */
  delete(kind: string, id: string): Promise<boolean>;
}
