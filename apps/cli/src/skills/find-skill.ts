import { ClientError, type StigmerClient } from "@stigmer/client";
import { isId, slugify } from "@stigmer/protos";
import type { Skill } from "@stigmer/protos/skill/v1";
import { openSkillArchive, type SkillArchive, SkillError } from "@stigmer/skills";
import { CliError } from "../errors.ts";

export interface FoundSkill {
  readonly skill: Skill;
  /** SHA-256 of its archive in hex. */
  readonly version: string;
}

/** `name`, `name@tag`, `name@<digest>` and `name@sha256:<digest>`, as people write them. */
function readSkillReference(text: string): { readonly name: string; readonly version: string } {
  const at = text.indexOf("@");
  const name = at < 0 ? text : text.slice(0, at);
  const version = at < 0 ? "" : text.slice(at + 1).replace(/^sha256:/, "");
  if (name !== "" && (at < 0 || /^[a-zA-Z0-9._-]+$/.test(version))) return { name, version };
  throw new CliError("usage", `"${text}" names no skill: write NAME, NAME@TAG, or NAME@ and the digest of a version`);
}

/** The skill that a person names, in the version that is asked for, else the newest. */
export async function findSkill(client: StigmerClient, text: string, org?: string): Promise<FoundSkill> {
  const { name, version } = readSkillReference(text);
  try {
    const slug = isId(name, "Skill") ? ((await client.skills.get(name)).metadata?.slug ?? "") : slugify(name) || name;
    const skill = await client.skills.getByReference({ slug, org, version });
    return { skill, version: skill.status?.versionHash ?? "" };
  } catch (error) {
    if (!ClientError.is(error) || error.code !== "not-found") throw error;
    const what = version === "" ? `no skill "${name}"` : `no skill "${name}" in version ${version}`;
    throw new CliError("failed", `There is ${what}: list them with \`stigmer skill list\``, { cause: error });
  }
}

/** The archive of a version. What is not that version, byte for byte, or must not be unpacked, is refused. */
export async function fetchArchive(client: StigmerClient, { skill, version }: FoundSkill): Promise<SkillArchive> {
  const bytes = await client.skills.getArtifact(skill.status?.artifactStorageKey ?? "");
  try {
    const archive = await openSkillArchive(bytes, { version });
    await archive.verify();
    return archive;
  } catch (error) {
    if (!SkillError.is(error)) throw error;
    const problems = error.problems.map(({ message }) => message).join("; ");
    const advice = "nothing was unpacked: push the skill again";
    throw new CliError("failed", `The archive that the server sent ${problems}; ${advice}`, { cause: error });
  }
}
