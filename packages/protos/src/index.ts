/**
 * What the messages of the Stigmer API cannot say about themselves: its kinds, ids, slugs and versions.
 * The messages and services are in the subpaths, one for each proto package (`@stigmer/protos/agent/v1`).
 *
 * @packageDocumentation
 */
export { agenticApiVersion, type ApiVersion, iamApiVersion, tenancyApiVersion } from "./api-version.ts";
export { createId, isId, parseId, type ParsedId } from "./ids.ts";
export { type Kind, type KindName, kindNameOf, kinds, type ResourceKind, type ServedKind } from "./kinds.ts";
export { isSlug, shortenSlug, slugify } from "./slugs.ts";
