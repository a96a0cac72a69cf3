// Which processes there are, who started them, and which of them carry a mark.
import { execFileSync } from "node:child_process";
import { readFileSync, readdirSync } from "node:fs";

export interface ProcessEntry {
  readonly pid: number;
  readonly parent: number;
  readonly group: number;
  /** The session on Linux; elsewhere the process group, the nearest thing that can be listed. */
  readonly session: number;
  /** Together with `pid` this names a process for good: pids are used again. Grows with time on Linux. */
  readonly startTime: number;
  readonly state: string;
}

/** Of `startTime`, on every Linux that Node runs on: USER_HZ. */
const ticksPerSecond = 100;

/** Whether the start time and the environment of a process can be read as files. */
export const hasProc: boolean = process.platform === "linux";

/**
 * All processes at this moment. Synchronous on purpose: between two asynchronous reads the processes would go on forking,
 * and a kill must not queue behind file operations in the thread pool. About 15 µs for each process.
 */
export function readProcessTable(source: "proc" | "ps" = hasProc ? "proc" : "ps"): ProcessEntry[] {
  return source === "proc" ? readProc() : readPs();
}

function readProc(): ProcessEntry[] {
  const entries: ProcessEntry[] = [];
  for (const name of readdirSync("/proc")) {
    const code = name.charCodeAt(0);
    if (code < 0x30 || code > 0x39) continue;
    const entry = readProcess(Number(name));
    if (entry) entries.push(entry);
  }
  return entries;
}

/** One process, by its number. Needs /proc. */
export function readProcess(pid: number): ProcessEntry | undefined {
  const stat = readIfThere(`/proc/${pid}/stat`);
  if (stat === undefined) return undefined;
  // The second field is the name in parentheses, which may itself hold spaces and parentheses. See proc_pid_stat(5).
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return {
    pid,
    state: fields[0] ?? "X",
    parent: Number(fields[1]),
    group: Number(fields[2]),
    session: Number(fields[3]),
    startTime: Number(fields[19]),
  };
}

let ownStart: number | undefined;

/**
 * A start time that no process has which is started from now on, without a look at any: it is this process's own, and the time
 * since, which `performance` counts from a little later. Needs /proc.
 */
export function startTimeBefore(): number | undefined {
  ownStart ??= hasProc ? readProcess(process.pid)?.startTime : undefined;
  return ownStart && ownStart + Math.floor((performance.now() / 1_000) * ticksPerSecond) - 1;
}

function readPs(): ProcessEntry[] {
  const output = execFileSync("ps", ["-A", "-o", "pid=,ppid=,pgid=,stat=,lstart="], {
    encoding: "utf8",
    env: { PATH: "/bin:/usr/bin", LC_ALL: "C" },
    maxBuffer: 64 * 1024 * 1024,
  });
  return output.split("\n").flatMap((line) => {
    const [pid, parent, group, state, ...started] = line.trim().split(/\s+/);
    if (pid === undefined || state === undefined) return [];
    return {
      pid: Number(pid),
      parent: Number(parent),
      group: Number(group),
      session: Number(group),
      state: state.charAt(0),
      startTime: Date.parse(started.join(" ")),
    };
  });
}

/** Whether the process was started with an environment entry that begins with `entry`. Only Linux tells. */
export function hasEnvironmentEntry(pid: number, entry: string): boolean {
  if (!hasProc) return false;
  const environment = readIfThere(`/proc/${pid}/environ`);
  return environment !== undefined && (environment.startsWith(entry) || environment.includes(`\0${entry}`));
}

/** Gone in the meantime, or another user's: either way not one that could be signalled. */
function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, "latin1");
  } catch {
    return undefined;
  }
}
