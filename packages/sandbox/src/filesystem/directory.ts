// A directory that is held open, so that what a path leads to can't be exchanged between a check and its use.
import { constants, existsSync } from "node:fs";
import { lstat, open, realpath, type FileHandle } from "node:fs/promises";
import { join } from "node:path";
import { joinPath } from "../paths.ts";

// Node has no openat(2). On Linux `/proc/self/fd/<n>/<name>` is the same thing: the kernel starts at the open directory.
const byHandle = process.platform === "linux" && existsSync("/proc/self/fd");

/** A directory that may be passed through, though not listed, needs only this; Node's constants don't name it. */
const O_PATH = byHandle ? 0x200000 : 0;
const openFlags = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW | O_PATH;

export interface Directory {
  /** Relative to the root, `""` for the root. No part of it is a symbolic link. */
  readonly path: string;
  /** A path for one entry that Node's functions take. `"."` names the directory itself. */
  at(name: string): string;
  /** Opens a subdirectory. Fails with ENOTDIR or ELOOP where `name` is a symbolic link. */
  enter(name: string): Promise<Directory>;
  /** Opens a file without following a link in its place. */
  open(name: string, flags: number, mode?: number): Promise<FileHandle>;
  close(): Promise<void>;
}

export async function openRoot(root: string): Promise<Directory> {
  return directory(await open(root, openFlags), { path: "", location: root });
}

interface Place {
  readonly path: string;
  /** Where it lay on the host when it was opened. */
  readonly location: string;
}

function directory(handle: FileHandle, place: Place): Directory {
  const base = byHandle ? `/proc/self/fd/${handle.fd}` : place.location;
  const at = (name: string): string => `${base}/${name}`;
  return {
    path: place.path,
    at,
    async enter(name) {
      const location = join(place.location, name);
      const opened = await open(at(name), openFlags);
      if (!byHandle) await verify(opened, location);
      if (name === ".") return directory(opened, place);
      return directory(opened, { path: joinPath(place.path, name), location });
    },
    async open(name, flags, mode) {
      const opened = await open(at(name), flags | constants.O_NOFOLLOW, mode);
      if (!byHandle) await verify(opened, join(place.location, name));
      return opened;
    },
    close: () => handle.close(),
  };
}

/**
 * Where there is no handle to start from, looks afterwards whether the path is still free of links and names what was
 * opened. Nothing is read or written before.
 */
async function verify(handle: FileHandle, location: string): Promise<void> {
  try {
    const [opened, found, real] = await Promise.all([handle.stat(), lstat(location), realpath(location)]);
    if (opened.ino === found.ino && opened.dev === found.dev && real === location) return;
    throw Object.assign(new Error("The path was exchanged while it was opened."), { code: "ELOOP" });
  } catch (error) {
    await handle.close();
    throw error;
  }
}
