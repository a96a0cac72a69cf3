import { clone, type DescMessage } from "@bufbuild/protobuf";
import type { StigmerClient } from "@stigmer/client";
import { CliError } from "../errors.ts";
import { type Manifest, manifestKinds } from "../manifests/manifest.ts";
import { type CliKind, findKind, listResources, type Resource } from "./kinds.ts";

/** The label by which `apply --set NAME` marks what it makes, and by which `--prune` finds it again. */
const APPLY_SET_LABEL = "stigmer.ai/apply-set";

/** A resource of a set that none of its manifests describes any more. */
export interface Leftover {
  readonly kind: CliKind;
  readonly resource: Resource;
}

export function parseSetName(name: string): string {
  if (/^[a-z0-9]+(-[a-z0-9]+)*$/.test(name) && name.length <= 253) return name;
  throw new CliError(
    "usage",
    `--set ${JSON.stringify(name)}: a set is named by lower-case letters, digits and hyphens`,
  );
}

/** The manifest with the label of the set. A skill stays as it is: a push carries no labels. */
export function inSet(manifest: Manifest, set: string | undefined): Manifest {
  if (set === undefined || manifest.kind === "Skill") return manifest;
  const message = clone<DescMessage>(findKind(manifest.kind).schema, manifest.message) as Manifest["message"];
  if (message.metadata !== undefined) message.metadata.labels[APPLY_SET_LABEL] = set;
  return { ...manifest, message } as Manifest;
}

/** Of what set a resource is. */
export function setOf(resource: Resource): string | undefined {
  return resource.metadata?.labels[APPLY_SET_LABEL];
}

/** What an earlier `apply` of the set made and none of `kept` is, in the order in which it can be deleted. */
export async function findLeftovers(
  client: StigmerClient,
  set: string,
  kept: ReadonlySet<string>,
): Promise<Leftover[]> {
  const leftovers: Leftover[] = [];
  for (const name of manifestKinds.toReversed()) {
    const kind = findKind(name);
    for (const resource of await listResources(client, kind, { [APPLY_SET_LABEL]: set })) {
      // The server has filtered; what would be deleted is looked at twice all the same.
      if (setOf(resource) === set && !kept.has(resource.metadata?.id ?? "")) leftovers.push({ kind, resource });
    }
  }
  return leftovers;
}
