// Ends all processes that came of a command, also those that left its process group.
import { setTimeout as delay } from "node:timers/promises";
import { isMarked, type LockRange } from "./lock-marks.ts";
import { hasEnvironmentEntry, readProcessTable, type ProcessEntry } from "./process-table.ts";

/** What is known of the processes to find. Grows with each search, so that a process is found again after its parent died. */
export interface ProcessScope {
  /**
   * Leaders of process groups that surely are ours: their process is not reaped yet, so the number can't have been given
   * to another.
   */
  readonly leaders: ReadonlySet<number>;
  /** Processes seen before, by pid, with their start time. */
  readonly known: Map<number, number>;
  /** An environment entry (its beginning) that all of them were started with, unless they cleared it. */
  readonly mark: string;
  /** The resource limit that all of them were started with, where the system has such a thing. */
  readonly locks?: LockRange;
  /** Whether a process without mark is one that took it off, where that can be told. */
  readonly isStray?: (pid: number) => boolean;
  /** Processes looked at and found to carry no mark, by pid with their start time: they get none later. */
  readonly foreign?: Map<number, number>;
  /** When the first of them was started, as in `ProcessEntry`: an older process needs no look at its marks. */
  readonly since?: number;
}

/** Waits this long for what was killed to be gone. SIGKILL takes effect within a few ms, but not in an uninterruptible read. */
const killDeadlineMs = 200;
const freezeRounds = 10;

const ended = (entry: ProcessEntry): boolean => entry.state === "Z" || entry.state === "X";
const halted = (entry: ProcessEntry): boolean => ended(entry) || entry.state === "T" || entry.state === "t";

/**
 * The processes there were a moment ago, for those who ask in the same turn of the event loop, as a thousand sandboxes that end together.
 * What none of a sandbox's processes was in, none is in later: they come from one another, or are started here.
 */
let recent: readonly ProcessEntry[] | undefined;

function processTable(): readonly ProcessEntry[] {
  if (recent === undefined) {
    recent = readProcessTable().filter((entry) => entry.pid !== process.pid && entry.pid > 1);
    setImmediate(forgetProcessTable);
  }
  return recent;
}

/** To be called when a process was started or told something. */
export function forgetProcessTable(): void {
  recent = undefined;
}

/** The living processes in scope: those known, led or marked, all their descendants, and all in sessions of these. */
export function findProcesses(scope: ProcessScope): ProcessEntry[] {
  const table = processTable();
  const members = new Set<ProcessEntry>();
  const pids = new Set<number>();
  // Commands run in sessions of their own, so that a session of one of their processes holds nothing foreign.
  const sessions = new Set<number>(scope.leaders);
  const add = (entry: ProcessEntry): void => {
    members.add(entry);
    pids.add(entry.pid);
    sessions.add(entry.session);
  };
  for (const entry of table) {
    if (scope.leaders.has(entry.pid) || scope.known.get(entry.pid) === entry.startTime || carriesMark(entry, scope)) {
      add(entry);
    }
  }
  for (let before = -1; before !== members.size;) {
    before = members.size;
    for (const entry of table) {
      if (!members.has(entry) && (pids.has(entry.parent) || sessions.has(entry.session))) add(entry);
    }
  }
  const living = [...members].filter((entry) => !ended(entry));
  for (const entry of living) scope.known.set(entry.pid, entry.startTime);
  return living;
}

function carriesMark({ pid, startTime }: ProcessEntry, scope: ProcessScope): boolean {
  const { mark, locks, isStray, foreign, since = 0 } = scope;
  if (startTime < since || foreign?.get(pid) === startTime) return false;
  if (hasEnvironmentEntry(pid, mark)) return true;
  if (locks === undefined) return false;
  if (isMarked(pid, locks) || isStray?.(pid)) return true;
  foreign?.set(pid, startTime);
  return false;
}

/**
 * Kills all processes in scope and waits until they are gone, `killDeadlineMs` at most. They are stopped first: a stopped
 * process starts no other, and its children keep it as their parent, so that none slips out between search and kill.
 */
export async function killProcesses(wanted: ProcessScope): Promise<void> {
  // While a process executes another program its environment can't be read, but its limits can: no look at these errs.
  const scope = { foreign: new Map<number, number>(), ...wanted };
  for (const leader of scope.leaders) signalProcess(-leader, "SIGSTOP");
  for (let round = 0; round < freezeRounds; round++) {
    const living = findProcesses(scope);
    if (living.length === 0 && scope.leaders.size === 0) return;
    const running = living.filter((entry) => !halted(entry));
    if (running.length === 0) break;
    for (const entry of running) signalProcess(entry.pid, "SIGSTOP");
    await delay(1);
  }
  const deadline = performance.now() + killDeadlineMs;
  for (const leader of scope.leaders) signalProcess(-leader, "SIGKILL");
  for (;;) {
    const living = findProcesses(scope);
    for (const entry of living) signalProcess(entry.pid, "SIGKILL");
    if (living.length === 0 || performance.now() > deadline) return;
    await delay(2);
  }
}

/** Whether the process group still has a member. */
export function groupExists(leader: number): boolean {
  return signalProcess(-leader, 0);
}

/** A negative number is a process group. Whether there is such a process. */
export function signalProcess(pid: number, name: NodeJS.Signals | 0): boolean {
  if (name !== 0) forgetProcessTable();
  try {
    return process.kill(pid, name);
  } catch (error) {
    // ESRCH: gone already, which is what is wanted. EPERM: a program that changed its user, out of reach for us.
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}
