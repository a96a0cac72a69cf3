import { readFile, stat } from "node:fs/promises";
import { basename, join, resolve } from "node:path";
import { openSkillArchive, type SkillArchive, SkillError } from "@stigmer/skills";
import type { CommandIo } from "../../command-io.ts";
import { CliError } from "../../errors.ts";
import { showBytes } from "../../output/bytes.ts";
import { withProgress } from "../../output/progress.ts";
import { writeLine } from "../../output/write.ts";
import { withClient } from "../../server-connection/with-client.ts";
import { readSkillFolder } from "../../skills/read-skill-folder.ts";
import { zipFiles } from "../../skills/zip-files.ts";

export interface SkillPushOptions {
  /** A folder with SKILL.md in it, a Markdown file, or a zip. */
  readonly path: string;
  /** Names the version. */
  readonly tag?: string;
  readonly org?: string;
  readonly json?: boolean;
}

interface Packed {
  readonly artifact: Uint8Array;
  readonly leftOut: readonly string[];
}

/** Makes a version of a skill. What a server would refuse is refused before anything is sent. */
export async function skillPush({ path, tag, org, json }: SkillPushOptions, io: CommandIo): Promise<void> {
  const { artifact, leftOut, archive } = await withProgress(io, `Packing ${path}`, async () => {
    const packed = await pack(path, resolve(io.cwd, path));
    return { ...packed, archive: await check(packed.artifact, path) };
  });
  const { frontmatter, files, hash } = archive;
  const { name } = frontmatter;
  if (leftOut.length > 0) writeLine(io.stderr, `Left out: ${leftOut.join(", ")}`);
  await withClient(io, async ({ client }) => {
    const { metadata } = await withProgress(io, `Pushing ${name}, ${showBytes(artifact.length)}`, () =>
      client.skills.push({ name, artifact, tag, org }),
    );
    const id = metadata?.id ?? "";
    const bytes = artifact.length;
    const count = files.length;
    if (json)
      writeLine(io.stdout, JSON.stringify({ name, id, version: hash, tag: tag ?? "", files: count, bytes, leftOut }));
    else {
      writeLine(io.stdout, `Skill ${name} pushed (${id}, ${count} file${count === 1 ? "" : "s"}, ${showBytes(bytes)})`);
      writeLine(io.stdout, `Version ${hash}${tag ? `, tagged ${tag}` : ""}`);
    }
  });
}

async function pack(shown: string, path: string): Promise<Packed> {
  try {
    if ((await stat(path)).isDirectory()) {
      // Without it, somebody's whole home would be read to find that out.
      await stat(join(path, "SKILL.md"));
      const { files, leftOut } = await readSkillFolder(path);
      return { artifact: zipFiles(files), leftOut };
    }
    const content = await readFile(path);
    if (path.toLowerCase().endsWith(".zip")) return { artifact: content, leftOut: [] };
    return { artifact: zipFiles([{ path: "SKILL.md", content, isExecutable: false }]), leftOut: [] };
  } catch (error) {
    if (CliError.is(error)) throw new CliError("failed", `${error.message} Nothing was pushed.`, { cause: error });
    const { code, path: failed } = error as NodeJS.ErrnoException;
    const isMissing = code === "ENOENT" && basename(failed ?? "") === "SKILL.md" && failed !== path;
    const reason = isMissing
      ? "has no SKILL.md: a skill's folder begins with one"
      : code === "ENOENT"
        ? "is not there: name a skill's folder, its SKILL.md, or a zip of the folder"
        : `can't be read (${code ?? String(error)})`;
    throw new CliError("failed", `${shown} ${reason}.`, { cause: error });
  }
}

async function check(artifact: Uint8Array, shown: string): Promise<SkillArchive> {
  try {
    const archive = await openSkillArchive(artifact);
    await archive.verify();
    return archive;
  } catch (error) {
    if (!SkillError.is(error)) throw error;
    const problems = error.problems.map(({ message }) => message).join("; ");
    throw new CliError("failed", `${shown} can't be pushed: it ${problems}.`, { cause: error });
  }
}
