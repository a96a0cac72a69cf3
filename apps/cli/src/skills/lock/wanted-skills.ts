import { ApiResourceOwnerScope, type ApiResourceReference } from "@stigmer/protos/apiresource";
import type { Manifest } from "../../manifests/manifest.ts";
import type { ManifestProblem } from "../../manifests/problems.ts";

/** A skill as somebody asks for it. */
export interface SkillWish {
  readonly slug: string;
  /** A tag, a digest, or `latest`. */
  readonly version: string;
  /** Empty: the caller's own. */
  readonly org: string;
  readonly owner: "organization" | "platform" | "either";
}

export interface WantedSkill extends SkillWish {
  /** Who asks: `agent librarian`. */
  readonly user: string;
  /** A problem at the reference. */
  readonly problem: (message: string) => ManifestProblem;
}

/** The skills that manifests name: those of agents, their sub-agents, and sessions. */
export function wantedSkills(manifests: readonly Manifest[]): WantedSkill[] {
  return manifests.flatMap((manifest): WantedSkill[] => {
    if (manifest.kind !== "Agent" && manifest.kind !== "Session") return [];
    const { message, slug, document } = manifest;
    const own = message.metadata?.org ?? "";
    const user = `${manifest.kind.toLowerCase()} ${slug}`;
    const of = (
      refs: readonly ApiResourceReference[],
      who: string,
      path: readonly (string | number)[],
    ): WantedSkill[] =>
      refs.map((ref, at) => ({
        ...toWish(ref, own),
        user: who,
        problem: (text) => document.problemAt([...path, at], text),
      }));
    const subAgents = manifest.kind === "Agent" ? (manifest.message.spec?.subAgents ?? []) : [];
    return [
      ...of(message.spec?.skillRefs ?? [], user, ["spec", "skillRefs"]),
      ...subAgents.flatMap(({ name, skillRefs }, at) =>
        of(skillRefs, `${user}/${name}`, ["spec", "subAgents", at, "skillRefs"]),
      ),
    ];
  });
}

/** A reference that says no owner means the organization's skill, else the platform's: as when a run resolves it. */
function toWish({ slug, version, org, scope }: ApiResourceReference, own: string): SkillWish {
  const wish = { slug, version: version || "latest" };
  if (scope === ApiResourceOwnerScope.platform) return { ...wish, org: "", owner: "platform" };
  const isOpen = scope === ApiResourceOwnerScope.api_resource_owner_scope_unspecified && org === "";
  return { ...wish, org: org || own, owner: isOpen ? "either" : "organization" };
}

/** What a skill has in a lock. */
export function keyOf({ slug, version, org, owner }: SkillWish): string {
  const prefix = owner === "platform" ? "platform:" : org === "" ? "" : `${org}/`;
  return `${prefix}${slug}@${version}`;
}
