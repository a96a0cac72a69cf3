import type { SkillArchive } from "@stigmer/skills";
import type { CommandIo } from "../../command-io.ts";
import { showBytes } from "../../output/bytes.ts";
import { plainText } from "../../output/plain-text.ts";
import { formatTable } from "../../output/table.ts";
import { writeLine } from "../../output/write.ts";
import { withClient } from "../../server-connection/with-client.ts";
import { fetchArchive, findSkill, type FoundSkill } from "../../skills/find-skill.ts";

export interface SkillShowOptions {
  /** `name`, `name@tag` or `name@digest`. */
  readonly skill: string;
  readonly org?: string;
  readonly output: "text" | "json";
}

/** What a version of a skill says about itself, and what is in it. */
export async function skillShow({ skill: reference, org, output }: SkillShowOptions, io: CommandIo): Promise<void> {
  await withClient(io, async ({ client }) => {
    const found = await findSkill(client, reference, org);
    const [newest, archive] = await Promise.all([
      client.skills.get(found.skill.metadata?.id ?? ""),
      fetchArchive(client, found),
    ]);
    const shown = { ...found, archive, isNewest: newest.status?.versionHash === found.version };
    if (output === "json") writeLine(io.stdout, JSON.stringify(toJson(shown), null, 2));
    else io.stdout.write(toText(shown));
  });
}

interface Shown extends FoundSkill {
  readonly archive: SkillArchive;
  readonly isNewest: boolean;
}

function toJson({ skill, version, archive, isNewest }: Shown): object {
  const { id = "", org = "" } = skill.metadata ?? {};
  const { frontmatter, files } = archive;
  return { ...frontmatter, id, org, version, tag: skill.spec?.tag ?? "", newest: isNewest, files };
}

function toText({ skill, version, archive, isNewest }: Shown): string {
  const { name, description, license, compatibility, metadata, allowedTools } = archive.frontmatter;
  const tag = skill.spec?.tag ? `, tagged ${skill.spec.tag}` : "";
  const fields: [string, string | undefined][] = [
    ["Name", name],
    ["Id", skill.metadata?.id],
    ["Organization", skill.metadata?.org],
    ["Version", `${version}${tag}${isNewest ? ", the newest" : ""}`],
    ["Description", description],
    ["License", license],
    ["Compatibility", compatibility],
    ["Allowed tools", allowedTools?.join(" ")],
    ...Object.entries(metadata ?? {}).map(([key, value]): [string, string] => [`metadata.${key}`, value]),
  ];
  const given = fields.filter((field): field is [string, string] => Boolean(field[1]));
  const width = Math.max(...given.map(([label]) => label.length)) + 3;
  const head = given.map(
    ([label, text]) => `${plainText(label).padEnd(width)}${plainText(text).replace(/\s+/g, " ")}\n`,
  );
  const rows = archive.files.map(({ path, size, isExecutable }) => [path, showBytes(size), isExecutable ? "yes" : ""]);
  return `${head.join("")}\n${formatTable(["FILE", "SIZE", "EXECUTABLE"], rows)}`;
}
