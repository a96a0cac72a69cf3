import { DatabaseSync } from "node:sqlite";
import { vi } from "vitest";

/**
 * What each commit from now on is brought to the disk by when it is made, as SQLite has it: 2 is FULL, 1 leaves it to the next that is.
 * Ends with `vi.restoreAllMocks()`.
 */
export function watchFlushes(): number[] {
  const levels: number[] = [];
  const { exec } = DatabaseSync.prototype;
  vi.spyOn(DatabaseSync.prototype, "exec").mockImplementation(function (this: DatabaseSync, text) {
    if (text === "COMMIT") levels.push(Number(this.prepare("PRAGMA synchronous").get()?.["synchronous"]));
    exec.call(this, text);
  });
  return levels;
}
