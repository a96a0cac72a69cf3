import { lstat, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { CliError } from "../errors.ts";
import { showBytes } from "../output/bytes.ts";
import type { SkillFile } from "./zip-files.ts";

// Never meant for whoever uses the skill: history, what others install or build anew, traces of editors, and secrets.
const LEFT_OUT = new Set(
  ".git .hg .svn node_modules __pycache__ .venv .DS_Store __MACOSX Thumbs.db desktop.ini .idea .env".split(" "),
);
const LEFT_OUT_LIKE = /(\.pyc|\.sw[op]|~)$|^\.env\./;

const MAX_FILES = 10_000;
const MAX_BYTES = 500 * 1024 * 1024;

export interface SkillFolder {
  /** Sorted by path. */
  readonly files: readonly SkillFile[];
  /** Paths that are not in it, because they hold nothing of the skill. */
  readonly leftOut: readonly string[];
}

/** Reads a skill's folder. Throws `CliError` for what can't be pushed. */
export async function readSkillFolder(folder: string): Promise<SkillFolder> {
  const files: SkillFile[] = [];
  const leftOut: string[] = [];
  let bytes = 0;

  async function walk(below: string): Promise<void> {
    const entries = await readdir(join(folder, below), { withFileTypes: true });
    for (const entry of entries.toSorted((a, b) => (a.name < b.name ? -1 : 1))) {
      const path = below === "" ? entry.name : `${below}/${entry.name}`;
      if (LEFT_OUT.has(entry.name) || LEFT_OUT_LIKE.test(entry.name)) leftOut.push(path);
      else if (entry.isDirectory()) await walk(path);
      else if (entry.isFile()) await take(path);
      else throw refuse(path, entry.isSymbolicLink() ? "is a symbolic link: put the file itself there" : "is no file");
    }
  }

  async function take(path: string): Promise<void> {
    const { size, mode } = await lstat(join(folder, path));
    bytes += size;
    if (bytes > MAX_BYTES)
      throw refuse(path, `makes the skill larger than ${showBytes(MAX_BYTES)}, which is the limit`);
    if (files.length === MAX_FILES) throw refuse(path, `is one file more than the ${MAX_FILES} that a skill may have`);
    files.push({ path, content: await readFile(join(folder, path)), isExecutable: (mode & 0o111) !== 0 });
  }

  await walk("");
  return { files, leftOut };
}

function refuse(path: string, problem: string): CliError {
  return new CliError("failed", `${path} ${problem}.`);
}
