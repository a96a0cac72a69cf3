import { readdir, readFile, readlink } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";

const GONE_WITHIN_MS = 5_000;

/**
 * The processes that work in a folder or name it in their command line or environment, as `PID COMMAND`, once those that
 * are about to end had the time to. Undefined where the system does not tell (it has no /proc).
 */
export async function findOrphans(folder: string): Promise<readonly string[] | undefined> {
  for (const deadline = Date.now() + GONE_WITHIN_MS; ; await sleep(50)) {
    const found = await processesOf(folder);
    if (found === undefined || found.length === 0 || Date.now() > deadline) return found;
  }
}

async function processesOf(folder: string): Promise<string[] | undefined> {
  let pids: string[];
  try {
    pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid);
  } catch {
    return undefined;
  }
  const found = await Promise.all(
    pids.map(async (pid) => {
      const [command, environment, cwd] = await Promise.all([
        readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => ""),
        readFile(`/proc/${pid}/environ`, "utf8").catch(() => ""),
        readlink(`/proc/${pid}/cwd`).catch(() => ""),
      ]);
      const isThere = command.includes(folder) || environment.includes(folder) || cwd.startsWith(folder);
      return isThere ? `${pid} ${command.replaceAll("\0", " ").trim()}` : undefined;
    }),
  );
  return found.filter((process) => process !== undefined);
}
