// The files of the sandbox: each operation finds its place under the root, then works on the open directory.
import { lstat, readdir } from "node:fs/promises";
import { SandboxError } from "../errors.ts";
import { joinPath, outsideRoot, toRelativePath } from "../paths.ts";
import type { FileEntry, ReadOptions, SandboxFiles } from "../sandbox.ts";
import type { Directory } from "./directory.ts";
import { toFileEntry } from "./file-entry.ts";
import { errnoOf, toFileError } from "./file-error.ts";
import { locate, type FileOwner, type Location, type LocateOptions } from "./locate.ts";
import { openRegularFile, readAll } from "./read-file.ts";
import { removeTree } from "./remove-tree.ts";
import { fileFilter, globFiles, searchLines } from "./search.ts";
import { skipUnreadable, walk } from "./walk.ts";
import { writeFileAtomically } from "./write-file.ts";

export const defaultMaxReadBytes: number = 256 * 1024 * 1024;
export const defaultMaxResults: number = 10_000;

export interface FilesOptions {
  /** Where the root lies on this machine, all links resolved. */
  readonly location: string;
  /** The names the root goes by in the sandbox, the one that is shown first. */
  readonly roots: readonly [string, ...string[]];
  /** Throws when the sandbox is no longer to be used. */
  readonly assertUsable: () => void;
  /** As for `openRoot`. */
  readonly byHandle?: boolean;
  /** As for `locate`; files that are made belong to it too. */
  readonly owner?: FileOwner;
}

export function createFiles({ location, roots, assertUsable, byHandle, owner }: FilesOptions): SandboxFiles {
  const serially = createQueues();

  const at = async <T>(
    asked: string,
    use: (location: Location) => Promise<T>,
    options?: Pick<LocateOptions, "follow" | "createParents">,
  ): Promise<T> => {
    assertUsable();
    try {
      return await locate(toRelativePath(asked, roots), { location, roots, asked, byHandle, owner, ...options }, use);
    } catch (error) {
      throw toFileError(error, asked);
    }
  };

  const inDirectory = <T>(asked: string, use: (directory: Directory) => Promise<T>): Promise<T> =>
    at(asked, async ({ parent, name }) => {
      const directory = await parent.enter(name);
      try {
        return await use(directory);
      } finally {
        await directory.close();
      }
    });

  const read = (asked: string, options: ReadOptions = {}): Promise<Uint8Array> =>
    at(asked, async ({ parent, name }) => {
      const file = await openRegularFile(parent, name);
      try {
        return await readAll(file, { maxBytes: options.maxBytes ?? defaultMaxReadBytes, asked });
      } finally {
        await file.close();
      }
    });

  const readText = async (asked: string, options?: ReadOptions): Promise<string> =>
    decodeText(await read(asked, options), asked);

  const replace = (asked: string, content: string | Uint8Array, mode?: number): Promise<void> =>
    at(
      asked,
      (location) => {
        if (location.path === "") throw Object.assign(new Error("is the root"), { code: "EISDIR" });
        return writeFileAtomically(location, content, { mode, owner });
      },
      { createParents: true },
    );

  const write: SandboxFiles["write"] = async (asked, content, options) =>
    serially(toRelativePath(asked, roots), () => replace(asked, content, options?.mode));

  return {
    read,
    readText,
    write,

    edit: async (asked, oldText, newText, options) =>
      serially(toRelativePath(asked, roots), async () => {
        const parts = splitAt(await readText(asked), oldText, { asked, replaceAll: options?.replaceAll });
        await replace(asked, parts.join(newText));
        return { occurrences: parts.length - 1 };
      }),

    list: (asked = "") =>
      inDirectory(asked, async (directory) => {
        const names = (await readdir(directory.at("."))).sort();
        const entries: FileEntry[] = [];
        for (const name of names) {
          const stats = await skipUnreadable(() => lstat(directory.at(name)));
          if (stats !== undefined) entries.push(toFileEntry(joinPath(directory.path, name), stats));
        }
        return entries;
      }),

    glob: (pattern, { cwd = "", directories = false, maxResults = defaultMaxResults } = {}) =>
      inDirectory(cwd, (directory) => {
        const toRootPath = (path: string): string => joinPath(directory.path, path);
        return globFiles(directory, pattern, { directories, maxResults, toRootPath });
      }),

    grep: async (text, { path: asked = "", glob, maxMatches = defaultMaxResults } = {}) => {
      const search = searchLines(text, maxMatches);
      const wanted = fileFilter(glob);
      return at(asked, async ({ parent, name, path }) => {
        if (!(await lstat(parent.at(name))).isDirectory()) {
          if (wanted(name)) await search.search(parent, name, path);
          return search.result();
        }
        const directory = await parent.enter(name);
        try {
          for await (const found of walk(directory, () => true)) {
            if (found.entry.isFile() && wanted(found.path)) {
              await search.search(found.directory, found.name, joinPath(path, found.path));
            }
            if (search.full) break;
          }
          return search.result();
        } finally {
          await directory.close();
        }
      });
    },

    exists: async (asked) => {
      try {
        return await at(asked, async ({ parent, name }) => {
          await lstat(parent.at(name));
          return true;
        });
      } catch (error) {
        if (SandboxError.is(error) && (error.code === "not-found" || error.code === "not-directory")) return false;
        throw error;
      }
    },

    remove: (asked) =>
      at(
        asked,
        async ({ parent, name, path }) => {
          if (path === "") throw outsideRoot(asked);
          await removeTree(parent, name);
        },
        { follow: false },
      ).catch((error: unknown) => {
        // A parent that is missing, or is a file: then the path is not there either.
        const errno = SandboxError.is(error) ? errnoOf(error.cause) : undefined;
        if (errno !== "ENOENT" && errno !== "ENOTDIR") throw error;
      }),

    upload: async (files) => {
      for (const file of files) await write(file.path, file.content, { mode: file.mode });
    },

    download: async (paths) => {
      const contents: Uint8Array[] = [];
      for (const path of paths) contents.push(await read(path));
      return contents;
    },

    resolve: (asked) => joinPath(roots[0], toRelativePath(asked, roots)),
  };
}

/** Throws `not-text`. */
export function decodeText(bytes: Uint8Array, asked: string): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    const message = `${JSON.stringify(asked)} is not UTF-8 text. Read its bytes instead.`;
    throw new SandboxError("not-text", message, { path: asked, cause });
  }
}

/** What surrounds the text that an edit replaces. Throws `no-match`, and `ambiguous-match` unless all are to be replaced. */
export function splitAt(
  text: string,
  oldText: string,
  { asked, replaceAll = false }: { readonly asked: string; readonly replaceAll?: boolean | undefined },
): string[] {
  if (oldText === "") {
    throw new SandboxError("invalid-argument", "Expected the text to replace, got an empty one.", { path: asked });
  }
  const parts = text.split(oldText);
  const occurrences = parts.length - 1;
  if (occurrences === 0) {
    const message = `The text does not occur in ${JSON.stringify(asked)}. Read the file again and copy the text exactly.`;
    throw new SandboxError("no-match", message, { path: asked });
  }
  if (occurrences > 1 && !replaceAll) {
    const message = `The text occurs ${occurrences} times in ${JSON.stringify(asked)}. Give more of what surrounds it, or set replaceAll.`;
    throw new SandboxError("ambiguous-match", message, { path: asked });
  }
  return parts;
}

/** Changes of one file come one after the other: models edit the same file several times in one step. */
export function createQueues(): <T>(key: string, change: () => Promise<T>) => Promise<T> {
  const last = new Map<string, Promise<unknown>>();
  return (key, change) => {
    const current = (last.get(key) ?? Promise.resolve()).then(change, change);
    last.set(key, current);
    const forget = (): void => {
      if (last.get(key) === current) last.delete(key);
    };
    current.then(forget, forget);
    return current;
  };
}
