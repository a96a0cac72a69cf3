import { mkdirSync } from "node:fs";
import type { DeepAgentsBackend } from "@stigmer/sandbox/deepagents";
import { FilesystemBackend } from "deepagents";

/** Where deepagents puts what is too long for the model's context. */
const spillPrefixes = ["/large_tool_results", "/conversation_history"];

/**
 * The sandbox's backend, with deepagents' spill files in a directory of this machine: the user's tree stays the user's,
 * and listing or searching the root doesn't find them.
 */
export function withSpill(main: DeepAgentsBackend, spillDirectory: string): DeepAgentsBackend {
  mkdirSync(spillDirectory, { recursive: true, mode: 0o700 });
  const spill = new FilesystemBackend({ rootDir: spillDirectory, virtualMode: true }) as unknown as DeepAgentsBackend;
  const spilled = (path: string | null | undefined): boolean =>
    spillPrefixes.some((prefix) => path === prefix || path?.startsWith(`${prefix}/`));
  const at = (path: string | null | undefined): DeepAgentsBackend => (spilled(path) ? spill : main);
  /** Batches come with one kind of path at a time. */
  const first = <T>(items: readonly T[], path: (item: T) => string): DeepAgentsBackend =>
    at(items[0] === undefined ? undefined : path(items[0]));
  return {
    id: main.id,
    execute: (command) => main.execute(command),
    ls: (path) => at(path).ls(path),
    read: (path, offset, limit) => at(path).read(path, offset, limit),
    readRaw: (path) => at(path).readRaw(path),
    write: (path, content) => at(path).write(path, content),
    edit: (path, oldText, newText, replaceAll) => at(path).edit(path, oldText, newText, replaceAll),
    delete: (path) => at(path).delete(path),
    grep: (text, path, glob, maxCount) => at(path).grep(text, path, glob, maxCount),
    glob: (pattern, path) => at(path).glob(pattern, path),
    uploadFiles: (files) => first(files, ([path]) => path).uploadFiles(files),
    downloadFiles: (paths) => first(paths, (path) => path).downloadFiles(paths),
  };
}
