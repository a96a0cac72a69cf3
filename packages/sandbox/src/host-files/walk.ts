// Goes through a directory tree in the order of its paths, following no link.
import { readdir } from "node:fs/promises";
import type { Dirent } from "node:fs";
import type { Directory } from "./directory.ts";
import { errnoOf } from "./file-error.ts";

export interface WalkEntry {
  readonly directory: Directory;
  readonly name: string;
  /** Relative to where the walk began. */
  readonly path: string;
  readonly entry: Dirent;
}

/** Everything under `start`, directories before what is in them. `enters` says which of these are gone into. */
export async function* walk(
  start: Directory,
  enters: (path: string) => boolean,
  prefix = "",
): AsyncGenerator<WalkEntry, void, undefined> {
  for (const entry of await entriesInOrder(start)) {
    const path = `${prefix}${entry.name}`;
    yield { directory: start, name: entry.name, path, entry };
    if (entry.isDirectory() && enters(path)) {
      const child = await enterIfThere(start, entry.name);
      if (child === undefined) continue;
      try {
        yield* walk(child, enters, `${path}/`);
      } finally {
        await child.close();
      }
    }
  }
}

/** In the order of full paths: `a-b` before `a/b`, since `-` comes before `/`. */
async function entriesInOrder(directory: Directory): Promise<Dirent[]> {
  const entries = await skipUnreadable(() => readdir(directory.at("."), { withFileTypes: true }));
  const keyed = (entries ?? []).map((entry) => ({ entry, key: entry.isDirectory() ? `${entry.name}/` : entry.name }));
  keyed.sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0));
  return keyed.map(({ entry }) => entry);
}

async function enterIfThere(directory: Directory, name: string): Promise<Directory | undefined> {
  return skipUnreadable(() => directory.enter(name));
}

/** Removed meanwhile, exchanged for a link, or not for this user to read: a search goes on without it. */
export async function skipUnreadable<T>(read: () => Promise<T>): Promise<T | undefined> {
  try {
    return await read();
  } catch (error) {
    if (["ENOENT", "ENOTDIR", "ELOOP", "EACCES", "EPERM", "ENXIO"].includes(errnoOf(error) ?? "")) return undefined;
    throw error;
  }
}
