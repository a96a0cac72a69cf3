import { readFileSync } from "node:fs";

/**
 * Whether a process runs. A zombie does not: it only waits for its parent to look, and the first process of a container,
 * which inherits orphans, takes its time to, or never does.
 */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
  try {
    return !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
  } catch {
    // Not on Linux, or gone in this moment, which the next look tells.
    return true;
  }
}
