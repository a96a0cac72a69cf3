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
