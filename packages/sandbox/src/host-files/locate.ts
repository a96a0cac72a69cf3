// From a path to an open directory and the name of an entry in it, without ever leaving the root.
import { lchown, mkdir, readlink } from "node:fs/promises";
import { joinPath, outsideRoot } from "../paths.ts";
import { openRoot, type Directory } from "./directory.ts";
import { errnoOf } from "./file-error.ts";

/** As many symbolic links as Linux follows. */
const mostLinks = 40;

export interface Location {
  readonly parent: Directory;
  /** `"."` for the root itself. Not a symbolic link, unless links in the last place were not to be followed. */
  readonly name: string;
  /** Relative to the root, all links resolved. */
  readonly path: string;
}

export interface LocateOptions {
  /** Where the root lies on this machine. */
  readonly location: string;
  /** The names the root goes by in the sandbox. */
  readonly roots: readonly string[];
  /** As the caller gave it, for errors. */
  readonly asked: string;
  /** As for `openRoot`. */
  readonly byHandle?: boolean;
  /** Whether a symbolic link in the last place stands for its target. Default true. */
  readonly follow?: boolean;
  /** Makes the parent directories that are missing. Default false. */
  readonly createParents?: boolean;
  /** Who these are given to where this process is root, which makes files for commands of another user. */
  readonly owner?: FileOwner;
}

export interface FileOwner {
  readonly uid: number;
  readonly gid: number;
}

/**
 * Finds `path` (relative, normalised), calls `use` with it and closes what was opened for it. The entry itself need not
 * exist. Links are resolved here, one by one, since the kernel would follow them anywhere.
 */
export async function locate<T>(
  path: string,
  options: LocateOptions,
  use: (location: Location) => Promise<T>,
): Promise<T> {
  const trail: Directory[] = [await openRoot(options.location, options.byHandle)];
  try {
    const pending = path.split("/").filter((part) => part !== "");
    let links = 0;
    for (;;) {
      const parent = trail[trail.length - 1] as Directory;
      const name = pending.shift();
      if (name === undefined || name === ".") {
        if (pending.length > 0) continue;
        return await use(ofDirectory(trail));
      }
      if (name === "..") {
        if (trail.length === 1) throw outsideRoot(options.asked);
        await trail.pop()?.close();
        continue;
      }
      const last = pending.length === 0;
      const target = last && options.follow === false ? undefined : await linkTarget(parent, name);
      if (target !== undefined) {
        if (++links > mostLinks) throw tooManyLinks();
        if (target.startsWith("/")) {
          const inside = underRoot(target, options);
          for (const left of trail.splice(1)) await left.close();
          pending.unshift(...inside);
        } else {
          pending.unshift(...target.split("/").filter((part) => part !== ""));
        }
        continue;
      }
      if (last) {
        return await use({ parent, name, path: joinPath(parent.path, name) });
      }
      if (options.createParents) await makeDirectory(parent, name, options.owner);
      trail.push(await parent.enter(name));
    }
  } finally {
    for (const directory of trail) await directory.close();
  }
}

/** The directory reached last, as an entry of its parent. */
function ofDirectory(trail: readonly Directory[]): Location {
  const directory = trail[trail.length - 1] as Directory;
  const parent = trail[trail.length - 2];
  if (parent === undefined) return { parent: directory, name: ".", path: "" };
  return { parent, name: directory.path.slice(directory.path.lastIndexOf("/") + 1), path: directory.path };
}

async function linkTarget(parent: Directory, name: string): Promise<string | undefined> {
  try {
    return await readlink(parent.at(name));
  } catch (error) {
    // EINVAL: there, and no link. ENOENT: not there, which is for the caller to judge.
    const errno = errnoOf(error);
    if (errno === "EINVAL" || errno === "ENOENT") return undefined;
    throw error;
  }
}

/** A link's absolute target means what it means to a command: a place that must lie under the root. */
function underRoot(target: string, options: LocateOptions): string[] {
  for (const root of options.roots) {
    if (target === root || target.startsWith(root === "/" ? root : `${root}/`)) {
      return target
        .slice(root.length)
        .split("/")
        .filter((part) => part !== "");
    }
  }
  throw outsideRoot(options.asked);
}

async function makeDirectory(parent: Directory, name: string, owner: FileOwner | undefined): Promise<void> {
  try {
    await mkdir(parent.at(name));
    if (owner !== undefined && process.geteuid?.() === 0) await lchown(parent.at(name), owner.uid, owner.gid);
  } catch (error) {
    if (errnoOf(error) !== "EEXIST") throw error;
  }
}

function tooManyLinks(): Error {
  return Object.assign(new Error("Too many symbolic links, or links that go round in a circle."), { code: "ENOENT" });
}
