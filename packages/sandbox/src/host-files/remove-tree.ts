// Removing a directory with everything in it, entry by entry from open directories: `rm -r` by path could be led elsewhere
// by a link that is put in its way.
import { lstat, readdir, rmdir, unlink } from "node:fs/promises";
import type { Directory } from "./directory.ts";
import { errnoOf } from "./file-error.ts";

/** Removes one entry. A symbolic link is removed itself. What is not there is no error. */
export async function removeTree(parent: Directory, name: string): Promise<void> {
  try {
    if (!(await lstat(parent.at(name))).isDirectory()) {
      await unlink(parent.at(name));
      return;
    }
    const directory = await parent.enter(name);
    try {
      for (const child of await readdir(directory.at("."))) await removeTree(directory, child);
    } finally {
      await directory.close();
    }
    await rmdir(parent.at(name));
  } catch (error) {
    if (errnoOf(error) !== "ENOENT") throw error;
  }
}
