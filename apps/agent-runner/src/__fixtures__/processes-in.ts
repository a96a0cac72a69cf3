import { readdir, readlink } from "node:fs/promises";

/** How many processes have their working directory there. */
export async function processesIn(directory: string): Promise<number> {
  const pids = (await readdir("/proc").catch(() => [])).filter((name) => /^\d+$/.test(name));
  const directories = await Promise.all(pids.map((pid) => readlink(`/proc/${pid}/cwd`).catch(() => "")));
  return directories.filter((cwd) => cwd === directory).length;
}
