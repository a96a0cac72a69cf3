import type { DescMessage, MessageShape } from "@bufbuild/protobuf";
import { clone } from "@bufbuild/protobuf";
import { createId, kinds, type ResourceKind } from "@stigmer/protos";
import type { ApiResourceKind } from "@stigmer/protos/apiresourcekind";
import { ApiResourceOwnerScope } from "@stigmer/protos/apiresource";
import { call, type CallOptions } from "./call.ts";
import { ClientError } from "./errors.ts";
import { listOf, type List, type Page, type PageInput } from "./pages.ts";
import { requireId } from "./require-id.ts";
import { toResource, type ResourceInput, type ResourceMessage } from "./resource-input.ts";
import { retryWhileAway } from "./retry-while-away.ts";

/** How a person names a resource: by slug, in an organisation. */
export interface ReferenceInput {
  readonly slug: string;
  /** Default: the client's `org`. */
  readonly org?: string;
  /** Default: the organisation's own; without an organisation, first the key's own, then the platform's. */
  readonly scope?: "organization" | "platform" | "identity_account";
  /** Skills only: empty or `latest`, a tag, or a version's hash. */
  readonly version?: string;
}

export interface ListInput extends PageInput {
  /** Only those of this organisation. Default: of every one that the key may see, or the one that the client was given. */
  readonly org?: string;
  /** Only those that carry all of these. */
  readonly tags?: readonly string[];
  /** Only those that carry all of these with these values. */
  readonly labels?: Readonly<Record<string, string>>;
}

export interface DeleteOptions extends CallOptions {
  /** Delete although others depend on it, and take those along. Default false: refused with `failed-precondition`. */
  readonly force?: boolean;
}

/** Where names belong that say no organisation. */
export interface Defaults {
  /** For references. Empty: the key's own. */
  readonly org: string;
  /** Also for lists and new resources; set where the client was given an organisation. */
  readonly ownOrg: string;
}

interface Kind<D extends DescMessage> {
  readonly kind: ResourceKind;
  readonly schema: D;
  /** What people call it, such as `agent`. */
  readonly noun: string;
}

interface ListRequest {
  org: string;
  pageSize: number;
  pageToken: string;
  tags: string[];
  labels: Record<string, string>;
}

/** A reference as requests have it. */
export interface Reference {
  scope: ApiResourceOwnerScope;
  org: string;
  kind: ApiResourceKind;
  slug: string;
  version: string;
}

/** What every kind's methods do around their call: names, defaults, refusals, retries where they are safe. */
export interface Verbs<D extends DescMessage> {
  /** For `apply` and `update`: not repeated, it may undo what somebody wrote meanwhile. */
  write(send: Send<MessageShape<D>, D>): (input: ResourceInput<D>, options?: CallOptions) => Promise<MessageShape<D>>;
  /**
   * For `create`: repeated while the server is away, under an id that is made here, so that it happens once. Where the
   * caller gives an id it is not repeated, as that one may be taken.
   */
  create(
    send: Send<MessageShape<D>, D>,
    get: Send<{ value: string }, D>,
  ): (input: ResourceInput<D>, options?: CallOptions) => Promise<MessageShape<D>>;
  byId<O extends CallOptions>(
    send: (id: string, options: O | undefined) => Promise<MessageShape<D>>,
  ): (id: string, options?: O) => Promise<MessageShape<D>>;
  byReference(
    send: Send<Reference, D>,
  ): (reference: string | ReferenceInput, options?: CallOptions) => Promise<MessageShape<D>>;
  list(
    send: (request: ListRequest, options?: CallOptions) => Promise<WirePage<MessageShape<D>>>,
  ): (input?: ListInput, options?: CallOptions) => List<MessageShape<D>>;
}

type Send<Request, D extends DescMessage> = (request: Request, options?: CallOptions) => Promise<MessageShape<D>>;

/** A page as list methods answer it: older ones say `entries`. */
export type WirePage<T> = { nextPageToken: string } & ({ items: T[] } | { entries: T[] });

export function toPage<T>(page: WirePage<T>): Page<T> {
  return { items: "items" in page ? page.items : page.entries, nextPageToken: page.nextPageToken };
}

/** `agent_id`, as messages to people name it. */
function idName(noun: string): string {
  return `${noun.toLowerCase().replaceAll(" ", "_")}_id`;
}

export function verbsOf<D extends DescMessage>(of: Kind<D>, defaults: Defaults): Verbs<D> {
  const { kind, noun } = of;
  return {
    write: (send) => (input, options) => {
      const resource = toResource(of, input);
      return call(describe(noun, resource), () => send(withOrg(of, resource, defaults.ownOrg), options));
    },
    create: (send, get) => (input, options) => {
      const resource = withOrg(of, toResource(of, input), defaults.ownOrg);
      return call(describe(noun, resource), async () => {
        if (resource.metadata === undefined || resource.metadata.id !== "") return send(resource, options);
        const own = clone(of.schema, resource) as typeof resource;
        const id = createId(kind);
        if (own.metadata) own.metadata.id = id;
        return createOnce<MessageShape<D>>(own, { id, send, get, options });
      });
    },
    byId: (send) => (id, options) => call(`${noun} ${id}`, async () => send(requireId(idName(noun), id), options)),
    byReference: (send) => (reference, options) => {
      const { slug, ...rest } = typeof reference === "string" ? { slug: reference } : reference;
      return call(`${noun} "${slug}"`, async () =>
        send(toReference(kind, { slug: requireId(`${noun} slug`, slug), ...rest }, defaults), options),
      );
    },
    list: (send) => (input, options) =>
      listOf(input?.pageToken, (pageToken) =>
        call(`${noun}s`, async () => toPage(await send(toListRequest({ ...input, pageToken }, defaults), options))),
      ),
  };
}

/** `agent "repo-doctor"`, or the id when that is all there is. */
export function describe(noun: string, { metadata }: ResourceMessage): string {
  return `${noun} "${metadata?.slug || metadata?.name || metadata?.id || ""}"`;
}

/**
 * Creates a resource whose id nobody else has, again and again while the server is away: what is there already on a later
 * try is what an earlier one made.
 */
export async function createOnce<T>(
  resource: T,
  {
    id,
    send,
    get,
    options,
  }: {
    readonly id: string;
    readonly send: (resource: T, options?: CallOptions) => Promise<T>;
    readonly get: (request: { value: string }, options?: CallOptions) => Promise<T>;
    /** The signal ends the waiting between two tries too. */
    readonly options?: CallOptions;
  },
): Promise<T> {
  return retryWhileAway(async (attempt) => {
    try {
      return await send(resource, options);
    } catch (error) {
      if (attempt === 1 || ClientError.from(error, id).code !== "already-exists") throw error;
      // Perhaps not ours, but another one of the same name: that is what the caller has to hear.
      return get({ value: id }, options).catch((cause: unknown) => {
        throw ClientError.from(cause, id).code === "not-found" ? error : cause;
      });
    }
  }, options?.signal);
}

function withOrg<D extends DescMessage>(
  { kind, schema }: Kind<D>,
  resource: MessageShape<D> & ResourceMessage,
  org: string,
): MessageShape<D> & ResourceMessage {
  const { metadata } = resource;
  if (org === "" || kind === "Organization" || !metadata || metadata.org || metadata.id) return resource;
  if (metadata.ownerScope === ApiResourceOwnerScope.platform) return resource;
  const owned = clone(schema, resource) as MessageShape<D> & ResourceMessage;
  if (owned.metadata) owned.metadata.org = org;
  return owned;
}

/** The wire form of a reference. */
export function toReference(kind: ResourceKind, reference: ReferenceInput, defaults: Pick<Defaults, "org">): Reference {
  const { slug, version = "", scope } = reference;
  const org = scope === "platform" ? "" : (reference.org ?? defaults.org);
  const { organization, api_resource_owner_scope_unspecified: unset } = ApiResourceOwnerScope;
  return {
    scope: scope ? ApiResourceOwnerScope[scope] : org === "" ? unset : organization,
    org,
    kind: kinds[kind].number,
    slug,
    version,
  };
}

/** The wire form of a list request. */
function toListRequest(input: ListInput, defaults: Defaults): ListRequest {
  return {
    org: input.org ?? defaults.ownOrg,
    pageSize: input.pageSize ?? 0,
    pageToken: input.pageToken ?? "",
    tags: [...(input.tags ?? [])],
    labels: { ...input.labels },
  };
}
