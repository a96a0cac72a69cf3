import { createHash } from "node:crypto";
import { ClientError, type StigmerClient } from "@stigmer/client";
import { parseSkill, readRequirements, SkillError, type SkillRequirement } from "@stigmer/skills";
import type { Manifest } from "../../manifests/manifest.ts";
import { type ManifestProblem, refuse } from "../../manifests/problems.ts";
import { skillArtifact } from "../../manifests/skill-artifact.ts";
import type { Lock } from "./lock-file.ts";
import { keyOf, type SkillWish, type WantedSkill, wantedSkills } from "./wanted-skills.ts";

export interface ResolvedLock {
  readonly lock: Lock;
  /** Who has a skill that requires others, and does not have those. */
  readonly notes: readonly string[];
}

interface Resolved {
  readonly digest: string;
  readonly requires: readonly SkillWish[];
}

/**
 * The skills that manifests name, and those that they require, with their digests. A skill that is among the manifests is
 * what it will be once they are applied; any other is the server's. Throws a `CliError` that has all that is missing.
 */
export async function resolveLock(
  client: Pick<StigmerClient, "skills">,
  manifests: readonly Manifest[],
): Promise<ResolvedLock> {
  const wanted = wantedSkills(manifests);
  const locals = readLocals(manifests);
  const resolved = new Map<string, Resolved>();
  const problems: ManifestProblem[] = [];

  async function resolve(wish: SkillWish, chain: readonly string[], at: WantedSkill): Promise<void> {
    const key = keyOf(wish);
    if (resolved.has(key)) return;
    const through = chain.length === 0 ? "" : `, which ${chain.join(" requires, which ")} requires`;
    const found = locals(wish) ?? (await lookUp(client, wish));
    if (found === undefined) {
      problems.push(at.problem(`there is no skill ${key}${through}: push it, or ask for another`));
      return;
    }
    try {
      const { frontmatter } = parseSkill(found.skillMd);
      const requires = readRequirements(frontmatter).map((requirement) => toWish(requirement, wish));
      resolved.set(key, { digest: `sha256:${found.hash}`, requires });
      for (const next of requires) await resolve(next, [key, ...chain], at);
    } catch (error) {
      if (!SkillError.is(error)) throw error;
      problems.push(at.problem(`skill ${key}: ${error.problems.map(({ message }) => message).join("; ")}`));
    }
  }

  for (const wish of wanted) await resolve(wish, [], wish);
  if (problems.length > 0) throw refuse(problems);
  const lock = new Map(
    [...resolved].map(([key, { digest, requires }]) => {
      const usedBy = [...new Set(wanted.filter((wish) => keyOf(wish) === key).map(({ user }) => user))];
      return [key, { digest, requires: requires.map(keyOf), usedBy }];
    }),
  );
  return { lock, notes: findGaps(wanted, resolved) };
}

/** A required skill is looked for where the one is that requires it. */
function toWish({ name, version }: SkillRequirement, { org, owner }: SkillWish): SkillWish {
  return { slug: name, version, org, owner };
}

interface FoundSkill {
  readonly hash: string;
  readonly skillMd: string;
}

/** Answers for the skills that stand in the manifests themselves. */
function readLocals(manifests: readonly Manifest[]): (wish: SkillWish) => FoundSkill | undefined {
  const locals = manifests.flatMap((manifest) => {
    if (manifest.kind !== "Skill") return [];
    const { metadata, spec } = manifest.message;
    const skillMd = spec?.skillMd ?? "";
    const hash = createHash("sha256").update(skillArtifact(skillMd)).digest("hex");
    return [{ slug: manifest.slug, org: metadata?.org ?? "", tag: spec?.tag ?? "", hash, skillMd }];
  });
  return ({ slug, org, owner, version }) =>
    owner === "platform"
      ? undefined
      : locals.find(
          (local) =>
            local.slug === slug &&
            (org === "" || local.org === "" || local.org === org) &&
            (version === "latest" || version === local.hash || (local.tag !== "" && version === local.tag)),
        );
}

async function lookUp(
  { skills }: Pick<StigmerClient, "skills">,
  { slug, version, org, owner }: SkillWish,
): Promise<FoundSkill | undefined> {
  const places = [
    ...(owner === "platform" ? [] : [{ org: org || undefined }]),
    ...(owner === "organization" ? [] : [{ scope: "platform" as const }]),
  ];
  for (const place of places) {
    try {
      const { spec, status } = await skills.getByReference({ slug, version, ...place });
      return { hash: status?.versionHash ?? "", skillMd: spec?.skillMd ?? "" };
    } catch (error) {
      if (!ClientError.is(error) || error.code !== "not-found") throw error;
    }
  }
  return undefined;
}

/** An agent has the skills of its references, and no others: what those require has to be among them. */
function findGaps(wanted: readonly WantedSkill[], resolved: ReadonlyMap<string, Resolved>): string[] {
  const notes: string[] = [];
  for (const user of new Set(wanted.map((wish) => wish.user))) {
    // A session adds to what its agent has, which stands elsewhere.
    if (user.startsWith("session ")) continue;
    const own = wanted.filter((wish) => wish.user === user);
    const digests = new Set(own.map((wish) => resolved.get(keyOf(wish))?.digest));
    const todo = own.flatMap((wish) =>
      (resolved.get(keyOf(wish))?.requires ?? []).map((next) => [keyOf(wish), next] as const),
    );
    const seen = new Set<string>();
    for (const [by, wish] of todo) {
      const key = keyOf(wish);
      const needed = resolved.get(key);
      if (needed === undefined || seen.has(key)) continue;
      seen.add(key);
      todo.push(...needed.requires.map((next) => [key, next] as const));
      if (!digests.has(needed.digest))
        notes.push(`${user}: ${by} requires ${key}, which ${user} does not have: add it to its skillRefs`);
    }
  }
  return notes;
}
