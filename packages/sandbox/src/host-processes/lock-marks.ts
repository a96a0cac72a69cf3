// A mark that a process can't lose by leaving its parent, its session and its environment: a resource limit. Linux has not
// enforced RLIMIT_LOCKS since 2.4, yet it passes it on to every child, across exec, and shows it in /proc/<pid>/limits. A
// shell sets it without another process. A process can lower it on purpose, but no program does.
import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { promisify } from "node:util";
import { hasProc } from "./process-table.ts";

/** Processes whose limit lies in it belong to a command, or to all commands of a sandbox. Both ends included. */
export interface LockRange {
  readonly low: bigint;
  readonly high: bigint;
}

/** The marks of one sandbox. */
export interface LockMarks {
  readonly all: LockRange;
  /** The mark of the next command. Those of long ago are used again. */
  next(): LockMark;
}

export interface LockMark {
  readonly range: LockRange;
  /** Shell code that marks the shell, and with it all that it starts. To be put before a command, on the same line. */
  readonly shellCode: string;
}

/**
 * How 63 bits are shared out. A process that is marked itself, since it runs in a sandbox, marks within its own range, so
 * that the outer sandbox still finds what the inner one started.
 */
const outer = { sandboxBits: 26n, commandBits: 14n };
const inner = { sandboxBits: 15n, commandBits: 8n };
const innerBits = inner.sandboxBits + inner.commandBits;
const outerBits = outer.sandboxBits + outer.commandBits;
const unlimited = 2n ** 64n - 1n;

const letters = ["w", "x"] as const;

/**
 * Marks for what this shell runs, or undefined where the system or the shell has no such limit, or where this process is
 * itself marked twice over.
 */
export async function createLockMarks(shell: string): Promise<LockMarks | undefined> {
  const letter = await letterOf(shell);
  if (letter === undefined) return undefined;
  const own = ownLimit();
  const place = own === undefined ? undefined : placeWithin(own);
  if (place === undefined) return undefined;
  const { base, sandboxBits, commandBits, restBits } = place;
  const sandbox = BigInt(`0x${randomBytes(8).toString("hex")}`) & ((1n << sandboxBits) - 1n);
  const start = base + (sandbox << (commandBits + restBits));
  let commands = 0n;
  return {
    all: { low: start, high: start + (1n << (commandBits + restBits)) - 1n },
    next() {
      const low = start + ((commands++ % (1n << commandBits)) << restBits);
      const high = low + (1n << restBits) - 1n;
      return { range: { low, high }, shellCode: `ulimit -${letter} ${high};` };
    },
  };
}

interface Place {
  readonly base: bigint;
  readonly sandboxBits: bigint;
  readonly commandBits: bigint;
  readonly restBits: bigint;
}

function placeWithin(limit: bigint): Place | undefined {
  if (limit === unlimited || limit >= 1n << (outerBits + innerBits)) return { base: 0n, ...outer, restBits: innerBits };
  const rest = (1n << innerBits) - 1n;
  return (limit & rest) === rest ? { base: limit - rest, ...inner, restBits: 0n } : undefined;
}

export function isMarked(pid: number, { low, high }: LockRange): boolean {
  const limit = hardLimit(lockLimits(pid));
  return limit !== undefined && low <= limit && limit <= high;
}

/** Whether a process has a lower limit: it was given another one, or lowered what it had. */
export function isBelow(pid: number, { low }: LockRange): boolean {
  const limit = hardLimit(lockLimits(pid));
  return limit !== undefined && limit < low;
}

/** Nothing in here changes it, and nobody else has a reason to. */
let ownLimitRead: { readonly limit: bigint | undefined } | undefined;
const ownLimit = (): bigint | undefined => (ownLimitRead ??= { limit: hardLimit(lockLimits("self")) }).limit;

/** The line of /proc/<pid>/limits, soft and hard limit at its end. */
function lockLimits(pid: number | "self"): string | undefined {
  try {
    return /^Max file locks .*$/m.exec(readFileSync(`/proc/${pid}/limits`, "latin1"))?.[0];
  } catch {
    return undefined;
  }
}

function hardLimit(line: string | undefined): bigint | undefined {
  const hard = /^Max file locks\s+\S+\s+(\d+|unlimited)/.exec(line ?? "")?.[1];
  if (hard === undefined) return undefined;
  return hard === "unlimited" ? unlimited : BigInt(hard);
}

const probed = new Map<string, Promise<(typeof letters)[number] | undefined>>();

/** Shells call it by different letters: bash by another than dash and busybox. */
function letterOf(shell: string): Promise<(typeof letters)[number] | undefined> {
  let letter = probed.get(shell);
  if (letter === undefined) {
    letter = hasProc ? probe(shell) : Promise.resolve(undefined);
    probed.set(shell, letter);
  }
  return letter;
}

async function probe(shell: string): Promise<(typeof letters)[number] | undefined> {
  // Not above the limit there is, and different from it.
  const own = ownLimit();
  if (own === undefined) return undefined;
  const wanted = own === unlimited ? 1n << 40n : own - 1n;
  for (const letter of letters) {
    const command = `ulimit -${letter} ${wanted} && cat /proc/self/limits`;
    const { stdout } = await promisify(execFile)(shell, ["-c", command], { timeout: 5000, env: {} }).catch(() => ({
      stdout: "",
    }));
    if (hardLimit(/^Max file locks .*$/m.exec(stdout)?.[0]) === wanted) return letter;
  }
  return undefined;
}
