import type { Message } from "@bufbuild/protobuf";
import type { ApiResourceKind } from "@stigmer/protos/apiresourcekind";
import {
  ApiResourceOwnerScope,
  type ApiResourceMetadata,
  type ApiResourceReference,
} from "@stigmer/protos/apiresource";
import { ClientError } from "./errors.ts";
import { requireId } from "./require-id.ts";

/** How a person names a resource: by slug, in an organisation. */
export interface ReferenceInput {
  readonly slug: string;
  /** Default `local`. */
  readonly org?: string;
  /** Skills only: empty or `latest`, a tag, or a version's hash. */
  readonly version?: string;
}

export interface ListInput {
  readonly org?: string;
  /** Default 50, at most 1,000. */
  readonly pageSize?: number;
  /** `nextPageToken` of the page before. */
  readonly pageToken?: string;
  readonly tags?: readonly string[];
  readonly labels?: Readonly<Record<string, string>>;
}

export interface Page<T> {
  readonly items: readonly T[];
  /** Empty on the last page. */
  readonly nextPageToken: string;
}

/** A resource as every kind has it. */
export type ResourceMessage = Message & { metadata?: ApiResourceMetadata };

/** Runs a call and gives its failure the name of what it was about. */
export async function call<T>(subject: string, run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (error) {
    throw ClientError.from(error, subject);
  }
}

/** `agent "repo-doctor"`, or the id when that is all there is. */
export function describe(noun: string, resource: ResourceMessage): string {
  const { slug, name, id } = resource.metadata ?? { slug: "", name: "", id: "" };
  return `${noun} "${slug || name || id}"`;
}

/** The wire form of a reference. Throws `invalid-argument` for an empty slug. */
export function toReference(
  noun: string,
  kind: ApiResourceKind,
  { slug, org, version }: ReferenceInput,
): Omit<ApiResourceReference, keyof Message> {
  return {
    scope: ApiResourceOwnerScope.organization,
    org: org ?? "local",
    kind,
    slug: requireId(`${noun} slug`, slug),
    version: version ?? "",
  };
}

/** The wire form of a list request. */
export function toListRequest(input: ListInput = {}): {
  org: string;
  pageSize: number;
  pageToken: string;
  tags: string[];
  labels: Record<string, string>;
} {
  return {
    org: input.org ?? "",
    pageSize: input.pageSize ?? 0,
    pageToken: input.pageToken ?? "",
    tags: [...(input.tags ?? [])],
    labels: { ...input.labels },
  };
}
