import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { promisify } from "node:util";

/** The memory that processes hold (RSS), in bytes, by their ids. One whose memory can't be told is left out. */
export async function processMemory(pids: readonly number[]): Promise<ReadonlyMap<number, number>> {
  const alive = pids.filter((pid) => pid > 0);
  if (alive.length === 0) return new Map();
  return new Map(process.platform === "linux" ? await fromProc(alive) : await fromPs(alive));
}

async function fromProc(pids: readonly number[]): Promise<[number, number][]> {
  const read = pids.map(async (pid): Promise<[number, number][]> => {
    const status = await readFile(`/proc/${pid}/status`, "utf8").catch(() => "");
    const kilobytes = /^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1];
    return kilobytes === undefined ? [] : [[pid, Number(kilobytes) * 1024]];
  });
  return (await Promise.all(read)).flat();
}

async function fromPs(pids: readonly number[]): Promise<[number, number][]> {
  // It fails when one of them is gone, and tells of the others all the same.
  const { stdout } = await promisify(execFile)("ps", ["-o", "pid=,rss=", "-p", pids.join(",")]).catch(
    (error: { stdout?: string }) => ({ stdout: error.stdout ?? "" }),
  );
  return [...stdout.matchAll(/^\s*(\d+)\s+(\d+)\s*$/gm)].map(([, pid, kilobytes]) => [
    Number(pid),
    Number(kilobytes) * 1024,
  ]);
}
