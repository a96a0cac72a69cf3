// What a process has used so far, as Linux tells it.
import { existsSync, readdirSync, readFileSync } from "node:fs";

export interface ProcessMeter {
  /** Milliseconds on a CPU, of all its threads that live. */
  cpuMs(): number;
  /** Bytes that it had written to a disk: databases, logs, but no sockets. */
  diskBytes(): number;
  /** Memory that it holds, in MiB. */
  residentMiB(): number;
}

/** Throws where there is no /proc. */
export function meterOf(pid: number | undefined): ProcessMeter {
  const folder = `/proc/${pid}`;
  if (!existsSync(`${folder}/schedstat`)) throw new Error("What a process uses is read in /proc: this takes Linux.");
  const numberIn = (file: string, field: RegExp): number => Number(field.exec(readFileSync(file, "utf8"))?.[1]);
  return {
    cpuMs: () =>
      readdirSync(`${folder}/task`).reduce(
        (sum, thread) => sum + numberIn(`${folder}/task/${thread}/schedstat`, /^(\d+)/) / 1e6,
        0,
      ),
    diskBytes: () => numberIn(`${folder}/io`, /^write_bytes: (\d+)/m),
    residentMiB: () => numberIn(`${folder}/status`, /^VmRSS:\s+(\d+) kB/m) / 1_024,
  };
}

/** The same of a process and all that it started, in sum. */
export function meterOfTree(pid: number | undefined): ProcessMeter {
  const sum = (of: (meter: ProcessMeter) => number): number =>
    withDescendants(pid ?? 0).reduce((total, each) => total + of(meterOf(each)), 0);
  return {
    cpuMs: () => sum((meter) => meter.cpuMs()),
    diskBytes: () => sum((meter) => meter.diskBytes()),
    residentMiB: () => sum((meter) => meter.residentMiB()),
  };
}

function withDescendants(pid: number): readonly number[] {
  const children = readdirSync(`/proc/${pid}/task`).flatMap((thread) =>
    readFileSync(`/proc/${pid}/task/${thread}/children`, "utf8").split(" ").filter(Boolean).map(Number),
  );
  return [pid, ...children.flatMap(withDescendants)];
}
