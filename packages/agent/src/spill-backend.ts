import { mkdir } from "node:fs/promises";
import type { DeepAgentsBackend } from "@stigmer/sandbox/deepagents";
import { FilesystemBackend } from "deepagents";

/** Where deepagents puts what is too long for the model's context. */
const spillPrefixes = ["/large_tool_results", "/conversation_history"];

/**
 * The sandbox's backend, with deepagents' spill files in a directory of this machine: the user's tree stays the user's,
 * and listing or searching the root doesn't find them. Few sessions have any: the directory is made for the first, for its owner
 * alone.
 *
 * What fails in the sandbox is thrown: deepagents' tools would pass its text off as a success.
 */
export function withSpill(main: DeepAgentsBackend, spillDirectory: string): DeepAgentsBackend {
  const spill = new FilesystemBackend({ rootDir: spillDirectory, virtualMode: true }) as unknown as DeepAgentsBackend;
  const use = async <T extends { readonly error?: string }>(
    path: string | null | undefined,
    operation: (backend: DeepAgentsBackend) => Promise<T>,
  ): Promise<T> => {
    if (isSpilled(path)) return operation(spill);
    const result = await operation(main);
    if (result.error !== undefined) throw new Error(result.error);
    return result;
  };
  const makeFor = async (path: string | undefined): Promise<void> => {
    if (isSpilled(path)) await mkdir(spillDirectory, { recursive: true, mode: 0o700 });
  };
  return {
    id: main.id,
    execute: (command) => main.execute(command),
    ls: (path) => use(path, (backend) => backend.ls(path)),
    read: (path, offset, limit) => use(path, (backend) => backend.read(path, offset, limit)),
    readRaw: (path) => use(path, (backend) => backend.readRaw(path)),
    async write(path, content) {
      await makeFor(path);
      return use(path, (backend) => backend.write(path, content));
    },
    edit: (path, oldText, newText, all) => use(path, (backend) => backend.edit(path, oldText, newText, all)),
    delete: (path) => use(path, (backend) => backend.delete(path)),
    grep: (text, path, glob, maxCount) => use(path, (backend) => backend.grep(text, path, glob, maxCount)),
    glob: (pattern, path) => use(path, (backend) => backend.glob(pattern, path)),
    // deepagents moves several files at once only for its history, one kind of path at a time.
    async uploadFiles(files) {
      await makeFor(files[0]?.[0]);
      return (isSpilled(files[0]?.[0]) ? spill : main).uploadFiles(files);
    },
    downloadFiles: (paths) => (isSpilled(paths[0]) ? spill : main).downloadFiles(paths),
  };
}

function isSpilled(path: string | null | undefined): boolean {
  return spillPrefixes.some((prefix) => path === prefix || path?.startsWith(`${prefix}/`));
}
