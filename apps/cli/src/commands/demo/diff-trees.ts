import { readdir, readFile } from "node:fs/promises";
import { join, relative } from "node:path";
import { createTwoFilesPatch } from "diff";

/** Folders that are no part of a project's text. */
const skipped: ReadonlySet<string> = new Set([".git", ".stigmer", "node_modules"]);
const mostBytes = 1024 * 1024;

export interface TreeDiff {
  /** Paths of files that were added, changed or removed, in order. */
  readonly files: readonly string[];
  /** A patch of the text files among them, as `git diff` writes it. */
  readonly patch: string;
}

/** What changed from one tree to another. `except` names files to leave out. */
export async function diffTrees(before: string, after: string, except: readonly string[] = []): Promise<TreeDiff> {
  const [was, is] = await Promise.all([readTree(before), readTree(after)]);
  const files = [...new Set([...was.keys(), ...is.keys()])]
    .filter((file) => !except.includes(file) && was.get(file) !== is.get(file))
    .sort();
  const patches = files.map((file) => {
    const [from, to] = [was.get(file), is.get(file)];
    const names = [
      from === undefined ? "/dev/null" : `a/${file}`,
      to === undefined ? "/dev/null" : `b/${file}`,
    ] as const;
    const patch = createTwoFilesPatch(...names, from ?? "", to ?? "", undefined, undefined, { context: 3 });
    // The first line is a ruler of `=`.
    return patch.replace(/^=+\n/, "").replaceAll("\t\n", "\n");
  });
  return { files, patch: patches.join("") };
}

/** Text by path. Files that are no text, or too large to read here, are left out. */
async function readTree(root: string): Promise<Map<string, string>> {
  const entries = await readdir(root, { recursive: true, withFileTypes: true });
  const files = entries
    .filter((entry) => entry.isFile())
    .map((entry) => relative(root, join(entry.parentPath, entry.name)))
    .filter((file) => !file.split("/").some((part) => skipped.has(part)));
  const texts = await Promise.all(
    files.map(async (file): Promise<[string, string] | undefined> => {
      const bytes = await readFile(join(root, file));
      return bytes.length > mostBytes || bytes.includes(0) ? undefined : [file, bytes.toString("utf8")];
    }),
  );
  return new Map(texts.filter((entry) => entry !== undefined));
}
