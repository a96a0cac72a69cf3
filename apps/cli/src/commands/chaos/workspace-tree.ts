import { createHash } from "node:crypto";
import { readdir, readFile, readlink, stat } from "node:fs/promises";
import { join } from "node:path";

/** What is in a folder: of each file its content's hash and whether it can be run, of each link where it leads to, by path. */
export type WorkspaceTree = ReadonlyMap<string, string>;

export async function readTree(folder: string): Promise<WorkspaceTree> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const found = await Promise.all(
    entries.map(async (entry): Promise<[string, string] | undefined> => {
      const path = join(entry.parentPath, entry.name);
      try {
        return [path.slice(folder.length + 1), await describeEntry(entry, path)];
      } catch (error) {
        // Gone between the two looks, as the temporary file of a command that still runs.
        if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
        throw error;
      }
    }),
  );
  return new Map(found.filter((entry) => entry !== undefined).sort(([a], [b]) => (a < b ? -1 : 1)));
}

async function describeEntry(
  entry: { isDirectory(): boolean; isSymbolicLink(): boolean; isFile(): boolean },
  path: string,
): Promise<string> {
  if (entry.isDirectory()) return "folder";
  if (entry.isSymbolicLink()) return `link ${await readlink(path)}`;
  if (!entry.isFile()) return "special";
  const [content, { mode }] = await Promise.all([readFile(path), stat(path)]);
  return `${(mode & 0o111) === 0 ? "file" : "program"} ${createHash("sha256").update(content).digest("hex")}`;
}

/** One hash for all of it. */
export function hashTree(tree: WorkspaceTree): string {
  return createHash("sha256")
    .update(JSON.stringify([...tree]))
    .digest("hex");
}

/** What a call did to the workspace: the tree before it and after it. */
export interface ToolEffect {
  readonly before: WorkspaceTree;
  readonly after: WorkspaceTree;
}

/**
 * The paths that are not as in the undisturbed run. A call whose outcome is unknown has happened or not: what it changed may
 * also be as it was before it.
 */
export function differingPaths(
  trees: { readonly expected: WorkspaceTree; readonly actual: WorkspaceTree },
  unknown: readonly ToolEffect[],
): string[] {
  const { expected, actual } = trees;
  const paths = new Set([...expected.keys(), ...actual.keys()]);
  return [...paths].sort().filter((path) => {
    const found = actual.get(path);
    if (found === expected.get(path)) return false;
    return !unknown.some(({ before, after }) => {
      const was = before.get(path);
      const became = after.get(path);
      return was !== became && (found === was || found === became);
    });
  });
}
