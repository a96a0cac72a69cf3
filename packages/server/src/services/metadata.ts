import { clone, create, type DescMessage } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import { createId, isId, type ResourceKind, slugify } from "@stigmer/protos";
import {
  ApiResourceAuditInfoSchema,
  ApiResourceAuditSchema,
  ApiResourceMetadataSchema,
  ApiResourceMetadataVersionSchema,
  ApiResourceOwnerScope,
} from "@stigmer/protos/apiresource";
import type { ApiResourceAudit, ApiResourceAuditInfo, ApiResourceMetadata } from "@stigmer/protos/apiresource";
import type { Principal } from "../interceptors/principal.ts";
import { invalidField } from "./field-errors.ts";

export interface MetadataDefaults {
  readonly kind: ResourceKind;
  readonly schema: DescMessage;
  readonly defaultScope: ApiResourceOwnerScope;
  readonly principal: Principal;
}

/** The address that a client's metadata means, empty parts filled in. */
export function addressOf(
  given: ApiResourceMetadata | undefined,
  { kind, schema, defaultScope, principal }: MetadataDefaults,
): { kind: ResourceKind; org: string; ownerScope: ApiResourceOwnerScope; slug: string } {
  const name = given?.name ?? "";
  const slug = given?.slug || slugify(name);
  if (slug === "") {
    throw invalidField({ schema, field: "metadata.slug", message: `can't be made from the name "${name}": give one` });
  }
  // Without a default the kind has no owner, whatever is said.
  const ownerScope = defaultScope && (given?.ownerScope || defaultScope);
  const org = ownerScope === ApiResourceOwnerScope.platform ? "" : given?.org || principal.org;
  return { kind, org, ownerScope, slug };
}

/** The metadata of a resource that is made. */
export function newMetadata(given: ApiResourceMetadata | undefined, defaults: MetadataDefaults): ApiResourceMetadata {
  const { org, ownerScope, slug } = addressOf(given, defaults);
  const id = given && isId(given.id, defaults.kind) ? given.id : createId(defaults.kind);
  return Object.assign(copyOf(given), { id, org, ownerScope, slug, version: nextVersion(given, "") });
}

/** The metadata of a resource that is replaced: id, organisation and owner stay, and so does a slug that is not given. */
export function replacedMetadata(
  given: ApiResourceMetadata | undefined,
  stored: ApiResourceMetadata,
  schema: DescMessage,
): ApiResourceMetadata {
  const storedVersion = stored.version?.id ?? "";
  const expected = given?.version?.id ?? "";
  if (expected !== "" && expected !== storedVersion) {
    throw new ConnectError(
      `metadata.version.id: ${stored.id} is at ${storedVersion} by now, not at ${expected}: read it again`,
      Code.Aborted,
    );
  }
  const { id, org, ownerScope } = stored;
  if (given?.org && given.org !== org) throw unchangeable(schema, "org", org);
  if (given?.ownerScope && given.ownerScope !== ownerScope) {
    throw unchangeable(schema, "owner_scope", ApiResourceOwnerScope[ownerScope] ?? "");
  }
  const slug = given?.slug || stored.slug;
  const version = nextVersion(given, storedVersion);
  return Object.assign(copyOf(given), { id, org, ownerScope, slug, version });
}

function copyOf(given: ApiResourceMetadata | undefined): ApiResourceMetadata {
  return given ? clone(ApiResourceMetadataSchema, given) : create(ApiResourceMetadataSchema);
}

function nextVersion(
  given: ApiResourceMetadata | undefined,
  previousVersionId: string,
): ApiResourceMetadata["version"] {
  const message = given?.version?.message ?? "";
  return create(ApiResourceMetadataVersionSchema, { id: createId("ApiResourceVersion"), message, previousVersionId });
}

/** A part of the metadata that stays as it was made. */
export function unchangeable(schema: DescMessage, field: string, value: string): ConnectError {
  return invalidField({ schema, field: `metadata.${field}`, message: `can't be changed from ${value || "none"}` });
}

/** Who made a resource when. */
export function createdAudit(principal: Principal, at: number): ApiResourceAudit {
  return create(ApiResourceAuditSchema, { specAudit: created(principal, at), statusAudit: created(principal, at) });
}

/** The audit after the spec was replaced. */
export function updatedAudit(stored: ApiResourceAudit | undefined, principal: Principal, at: number): ApiResourceAudit {
  const audit = stored ? clone(ApiResourceAuditSchema, stored) : createdAudit(principal, at);
  const { createdBy, createdAt } = audit.specAudit ?? {};
  audit.specAudit = create(ApiResourceAuditInfoSchema, {
    createdBy,
    createdAt,
    updatedBy: { id: principal.id },
    updatedAt: timestampFromMs(at),
    event: "updated",
  });
  return audit;
}

function created(principal: Principal, at: number): ApiResourceAuditInfo {
  return create(ApiResourceAuditInfoSchema, {
    createdBy: { id: principal.id },
    createdAt: timestampFromMs(at),
    updatedBy: { id: principal.id },
    updatedAt: timestampFromMs(at),
    event: "created",
  });
}
