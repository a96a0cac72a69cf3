// What is told of a file.
import type { Stats } from "node:fs";
import type { FileEntry } from "../sandbox.ts";

export function toFileEntry(path: string, stats: Stats): FileEntry {
  const type = typeOf(stats);
  return { path, type, size: type === "file" ? stats.size : 0, modifiedAt: stats.mtime };
}

function typeOf(stats: Stats): FileEntry["type"] {
  if (stats.isFile()) return "file";
  if (stats.isDirectory()) return "directory";
  return stats.isSymbolicLink() ? "symlink" : "other";
}
