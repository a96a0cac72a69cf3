import { createHash } from "node:crypto";
import { clone, type DescMessage, equals, isMessage } from "@bufbuild/protobuf";
import type { StigmerClient } from "@stigmer/client";
import { kinds } from "@stigmer/protos";
import { AgentInstanceSchema } from "@stigmer/protos/agentinstance/v1";
import { SandboxType, type Session, SessionSchema } from "@stigmer/protos/session/v1";
import { type Skill, SkillSchema } from "@stigmer/protos/skill/v1";
import type { Manifest } from "../manifests/manifest.ts";
import { type ManifestProblem, refuse } from "../manifests/problems.ts";
import { skillArtifact } from "../manifests/skill-artifact.ts";
import { inSet, setOf } from "./apply-set.ts";
import { findCurrent } from "./find-current.ts";
import { findKind, type Resource } from "./kinds.ts";
import { findParents, type Parents } from "./parents.ts";
import { showSandboxType } from "./sandbox-type.ts";
import { SECRET_MASK, secretValues } from "./secret-values.ts";

/** What applying a manifest does. */
export interface PlannedChange {
  readonly manifest: Manifest;
  readonly change: "created" | "configured" | "unchanged";
  /** Absent when it is created. */
  readonly current?: Resource;
  /** As the server would have it, secrets hidden. */
  readonly wanted: Resource;
  /** Secrets are given whose stored values nobody can see, so that they may change where nothing else does. */
  readonly mayChangeSecrets: boolean;
}

export interface Plan {
  /** In the order in which they are applied. */
  readonly changes: readonly PlannedChange[];
  readonly parents: Parents;
}

/** Compares manifests with what the server has. Throws a `CliError` with all that `apply` would refuse or spoil. */
export async function planChanges(
  client: StigmerClient,
  manifests: readonly Manifest[],
  { set }: { readonly set?: string } = {},
): Promise<Plan> {
  const labelled = manifests.map((manifest) => inSet(manifest, set));
  const parents = await findParents(client, labelled);
  const found: { manifest: Manifest; current: Resource | undefined }[] = [];
  for (const manifest of labelled) {
    const current = await findCurrent(client, manifest);
    if (current !== undefined) parents.learn(manifest, current.metadata?.id ?? "");
    found.push({ manifest, current });
  }
  const problems = found.flatMap(({ manifest, current }) => problemsOf(manifest, current, set));
  if (problems.length > 0) throw refuse(problems);
  return { changes: found.map(({ manifest, current }) => compare(parents.complete(manifest), current)), parents };
}

function problemsOf(
  { kind, slug, message, document }: Manifest,
  current: Resource | undefined,
  set?: string,
): ManifestProblem[] {
  const problems: ManifestProblem[] = [];
  const version = message.metadata?.version?.id ?? "";
  const stored = current?.metadata?.version?.id;
  if (version !== "" && stored !== undefined && version !== stored) {
    const text = `${kind} ${slug} was changed since this was read (it is at ${stored}): read it again, or leave the version out`;
    problems.push(document.problemAt(["metadata", "version", "id"], text));
  }
  const other = current && setOf(current);
  if (set !== undefined && other !== undefined && other !== set) {
    problems.push(document.problemAt([], `${kind} ${slug} belongs to the set "${other}", not to "${set}"`));
  }
  const asked = isMessage(message, SessionSchema) ? showSandboxType(message.spec?.sandboxType) : "";
  const had = showSandboxType((current as Session | undefined)?.spec?.sandboxType);
  if (current !== undefined && asked !== "" && asked !== had) {
    const text = `${kind} ${slug} was made with a sandbox of ${had || "its runner's kind"}, which can't become ${asked}: create another session`;
    problems.push(document.problemAt(["spec", "sandboxType"], text));
  }
  const before = secretValues(current);
  for (const [path, { value }] of secretValues(message)) {
    if (value !== SECRET_MASK || before.has(path)) continue;
    const text = `${kind} ${slug} has ${SECRET_MASK} where a secret belongs, and the server has none to keep: give its value`;
    problems.push(document.problemAt(["spec"], text));
    break;
  }
  return problems;
}

function compare(manifest: Manifest, current: Resource | undefined): PlannedChange {
  if (manifest.kind === "Skill") return compareSkill(manifest, current as Skill | undefined);
  const schema: DescMessage = findKind(manifest.kind).schema;
  const wanted = clone(schema, manifest.message) as Exclude<Manifest["message"], Skill>;
  const before = secretValues(current);
  let mayChangeSecrets = false;
  for (const [path, variable] of secretValues(wanted)) {
    if (variable.value === "" || variable.value === SECRET_MASK) continue;
    mayChangeSecrets ||= before.get(path)?.value === SECRET_MASK;
    variable.value = SECRET_MASK;
  }
  wanted.status = undefined;
  if (wanted.metadata !== undefined) wanted.metadata.slug ||= current?.metadata?.slug ?? manifest.slug;
  if (current === undefined) return { manifest, change: "created", wanted, mayChangeSecrets: false };
  keepWhatStays(wanted, current);
  const change = equals(schema, wanted, current) ? "unchanged" : "configured";
  return { manifest, change, current, wanted, mayChangeSecrets };
}

/** Fills in what the server does not take from a manifest, or takes from what it has where the manifest says nothing. */
function keepWhatStays(wanted: Exclude<Manifest["message"], Skill>, current: Resource): void {
  wanted.status = current.status as typeof wanted.status;
  if (wanted.metadata !== undefined && current.metadata !== undefined) {
    const { id, org, ownerScope, version } = current.metadata;
    Object.assign(wanted.metadata, { id, version });
    wanted.metadata.org ||= org;
    wanted.metadata.ownerScope ||= ownerScope;
  }
  if (isMessage(wanted, AgentInstanceSchema)) {
    // Older manifests say workflow execution (52) where they mean environment.
    for (const reference of wanted.spec?.environmentRefs ?? []) reference.kind = kinds.Environment.number;
  }
  if (isMessage(wanted, SessionSchema) && wanted.spec !== undefined) {
    const { spec } = current as Session;
    wanted.spec.threadId ||= spec?.threadId ?? "";
    wanted.spec.sandboxId ||= spec?.sandboxId ?? "";
    wanted.spec.sandboxType ||= spec?.sandboxType ?? SandboxType.UNSPECIFIED;
  }
}

/** A skill is its archive: the same bytes are the same version. */
function compareSkill(manifest: Manifest & { kind: "Skill" }, current: Skill | undefined): PlannedChange {
  const { message } = manifest;
  const versionHash = createHash("sha256")
    .update(skillArtifact(message.spec?.skillMd ?? ""))
    .digest("hex");
  const tag = message.spec?.tag === "latest" ? "" : (message.spec?.tag ?? "");
  const wanted = clone(SkillSchema, current ?? message);
  const isSame = current?.status?.versionHash === versionHash;
  const keepsTag = tag === "" || tag === current?.spec?.tag;
  if (wanted.spec !== undefined && message.spec !== undefined) {
    wanted.spec.skillMd = message.spec.skillMd;
    if (!isSame || !keepsTag) wanted.spec.tag = tag;
  }
  if (wanted.metadata !== undefined) wanted.metadata.slug ||= manifest.slug;
  if (wanted.status !== undefined) wanted.status.versionHash = versionHash;
  if (current === undefined) return { manifest, change: "created", wanted, mayChangeSecrets: false };
  const change = isSame && keepsTag ? "unchanged" : "configured";
  return { manifest, change, current, wanted, mayChangeSecrets: false };
}
