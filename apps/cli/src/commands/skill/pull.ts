import { relative, resolve } from "node:path";
import type { CommandIo } from "../../command-io.ts";
import { showBytes } from "../../output/bytes.ts";
import { withProgress } from "../../output/progress.ts";
import { writeLine } from "../../output/write.ts";
import { withClient } from "../../server-connection/with-client.ts";
import { fetchArchive, findSkill } from "../../skills/find-skill.ts";
import { writeSkillFolder } from "../../skills/write-skill-folder.ts";

export interface SkillPullOptions {
  /** `name`, `name@tag` or `name@digest`. */
  readonly skill: string;
  /** Default: a folder of the skill's name. */
  readonly folder?: string;
  readonly org?: string;
  readonly force?: boolean;
}

/** Makes a folder of a version of a skill, once its archive has proven to be that version. */
export async function skillPull({ skill, folder, org, force }: SkillPullOptions, io: CommandIo): Promise<void> {
  await withClient(io, async ({ client }) => {
    const archive = await withProgress(io, `Fetching ${skill}`, async () =>
      fetchArchive(client, await findSkill(client, skill, org)),
    );
    const { name } = archive.frontmatter;
    const target = resolve(io.cwd, folder ?? name);
    const shown = folder ?? relative(io.cwd, target);
    await withProgress(io, `Writing ${shown}`, () => writeSkillFolder(archive, target, { force, shown }));
    const bytes = archive.files.reduce((sum, { size }) => sum + size, 0);
    const count = archive.files.length;
    writeLine(
      io.stdout,
      `Skill ${name} pulled to ${shown} (${count} file${count === 1 ? "" : "s"}, ${showBytes(bytes)})`,
    );
    writeLine(io.stdout, `Version ${archive.hash}`);
  });
}
