import { chmod, mkdir, mkdtemp, readdir, rename, rm, rmdir, stat, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import type { SkillArchive } from "@stigmer/skills";
import { CliError } from "../errors.ts";
import { readSkillFolder } from "./read-skill-folder.ts";

export interface WriteSkillOptions {
  /** Make a skill's folder that is there this version. What a push leaves out (`.git`, `.env`, …) stays. */
  readonly force?: boolean;
  /** What messages call the folder. */
  readonly shown: string;
}

/** Unpacks a skill into a folder: whole, or not at all before the last step. */
export async function writeSkillFolder(
  archive: SkillArchive,
  folder: string,
  { force = false, shown }: WriteSkillOptions,
): Promise<void> {
  const old = await lookAt(folder, { force, shown });
  const parent = dirname(folder);
  await mkdir(parent, { recursive: true });
  const staging = await mkdtemp(join(parent, `.${basename(folder)}-`));
  try {
    await unpack(archive, staging);
    if (old === undefined) {
      await rm(folder, { recursive: true, force: true });
      await rename(staging, folder);
    } else {
      await replace(staging, { folder, old, files: archive.files.map(({ path }) => path) });
    }
  } finally {
    await rm(staging, { recursive: true, force: true });
  }
}

/** The files of a skill that stands there, or undefined when nothing does. */
async function lookAt(folder: string, { force, shown }: Required<WriteSkillOptions>): Promise<string[] | undefined> {
  let entries: string[];
  try {
    entries = await readdir(folder);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT") return undefined;
    const reason = code === "ENOTDIR" ? "is a file: name a folder" : `can't be read (${code ?? String(error)})`;
    throw new CliError("failed", `${shown} ${reason}`, { cause: error });
  }
  if (entries.length === 0) return undefined;
  if (!force) throw new CliError("failed", `${shown} is not empty: name another folder, or replace it with --force`);
  if (!entries.includes("SKILL.md"))
    throw new CliError("failed", `${shown} has files and no SKILL.md, so it is no skill's folder: name another one`);
  // Refuses links, so nothing is written or removed through one.
  const { files } = await readSkillFolder(folder);
  return files.map(({ path }) => path);
}

async function unpack(archive: SkillArchive, folder: string): Promise<void> {
  // Others may read what was pulled, as they may what is made by hand.
  await chmod(folder, 0o777 & ~process.umask());
  for await (const { file, content } of archive.contents()) {
    const path = join(folder, file.path);
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, content, { flag: "wx", mode: file.isExecutable ? 0o777 : 0o666 });
  }
}

interface Replacement {
  readonly folder: string;
  readonly old: readonly string[];
  readonly files: readonly string[];
}

async function replace(staging: string, { folder, old, files }: Replacement): Promise<void> {
  const wanted = new Set(files);
  for (const path of old.filter((path) => !wanted.has(path))) {
    await rm(join(folder, path));
    await removeEmpty(folder, dirname(path));
  }
  for (const path of files) {
    await mkdir(join(folder, dirname(path)), { recursive: true });
    await rename(join(staging, path), join(folder, path));
  }
}

async function removeEmpty(folder: string, below: string): Promise<void> {
  for (let path = below; path !== "."; path = dirname(path)) {
    if ((await readdir(join(folder, path))).length > 0) return;
    await rmdir(join(folder, path));
  }
}

/** Whether there is a folder at a path. */
export async function isFolder(path: string): Promise<boolean> {
  return stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );
}
