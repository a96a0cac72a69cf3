import { existsSync, mkdirSync } from "node:fs";
import { dirname } from "node:path";

/**
 * Makes a directory for this user's eyes, with those above it. Node's own `recursive` tries forever where the directory
 * above exists and refuses with ENOENT, as /proc and automounted ones do.
 */
export function makeDirectory(path: string): void {
  try {
    mkdirSync(path, { mode: 0o700 });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" && !existsSync(dirname(path))) {
      makeDirectory(dirname(path));
      mkdirSync(path, { recursive: true, mode: 0o700 });
      return;
    }
    // Also where another process was faster; a file in its place is found by who opens something in it.
    if (!existsSync(path)) throw error;
  }
}
