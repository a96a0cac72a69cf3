// A directory that is held open, so that what a path leads to can't be exchanged between a check and its use.
import { constants, existsSync } from "node:fs";
import { lstat, open, realpath, type FileHandle } from "node:fs/promises";
import { join } from "node:path";
import { joinPath } from "../paths.ts";

// Node has no openat(2). On Linux `/proc/self/fd/<n>/<name>` is the same thing: the kernel starts at the open directory.
const hasProc = process.platform === "linux" && existsSync("/proc/self/fd");

/** A directory that may be passed through, though not listed, needs only this; Node's constants don't name it. */
const O_PATH = hasProc ? 0x200000 : 0;
const openFlags = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW | O_PATH;

const verifyAttempts = 20;

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

/** `byHandle` is for tests: without, entries are found by path and what was opened is verified, as on macOS. */
export async function openRoot(root: string, byHandle: boolean = hasProc): Promise<Directory> {
  return directory(await open(root, openFlags), { path: "", location: root, byHandle });
}

interface Place {
  readonly path: string;
  /** Where it lay on the host when it was opened. */
  readonly location: string;
  readonly byHandle: boolean;
}

function directory(handle: FileHandle, place: Place): Directory {
  const base = place.byHandle ? `/proc/self/fd/${handle.fd}` : place.location;
  const at = (name: string): string => `${base}/${name}`;
  return {
    path: place.path,
    at,
    async enter(name) {
      const location = join(place.location, name);
      const opened = await open(at(name), openFlags);
      if (!place.byHandle) await verify(opened, location);
      if (name === ".") return directory(opened, place);
      return directory(opened, { ...place, path: joinPath(place.path, name), location });
    },
    async open(name, flags, mode) {
      for (let attempt = 1; ; attempt++) {
        const opened = await open(at(name), flags | constants.O_NOFOLLOW, mode);
        if (place.byHandle) return opened;
        try {
          await verify(opened, join(place.location, name));
          return opened;
        } catch (error) {
          // A file that others keep replacing looks the same as one that was slipped in: only that one is never verified.
          if (attempt === verifyAttempts || (flags & constants.O_CREAT) !== 0) throw error;
        }
      }
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
