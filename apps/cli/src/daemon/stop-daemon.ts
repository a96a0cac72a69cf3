import { setTimeout as sleep } from "node:timers/promises";
import type { Homes } from "@stigmer/config";
import { CliError } from "../errors.ts";
import { type DaemonState, removeState } from "./daemon-state.ts";
import { daemonFiles, findDaemon } from "./find-daemon.ts";
import { isAlive } from "./is-alive.ts";
import { acquireLock, isLocked } from "./lock.ts";

export interface StoppedDaemon {
  /** Its last state before it was asked to stop. */
  readonly state: DaemonState;
  /** It did not stop by itself in time. */
  readonly killed: boolean;
}

// The runner gets 12 s to hand back its work, the server 5 s.
const STOP_WITHIN_MS = 20_000;
const END_WITHIN_MS = 2_000;
// From giving its lock back to its end a daemon needs a few milliseconds.
const GONE_WITHIN_MS = 1_000;

/** Stops this home's daemon and everything it started. Undefined when none ran. */
export async function stopDaemon(
  homes: Homes,
  { withinMs = STOP_WITHIN_MS }: { readonly withinMs?: number } = {},
): Promise<StoppedDaemon | undefined> {
  const state = await findDaemon(homes);
  if (!state) return undefined;
  const { lockFile, stateFile } = daemonFiles(homes);
  // The lock is held, so the process is the one that wrote the state.
  signal(state.pid, "SIGTERM");
  if (await untilFree(lockFile, withinMs)) {
    await untilGone(state.pid);
    return { state, killed: false };
  }

  // It does not look after its children any more, so their ids are still theirs. The runner first.
  const last = (await findDaemon(homes)) ?? state;
  for (const { pid } of last.processes.toReversed()) if (pid !== 0) signal(pid, "SIGKILL");
  signal(state.pid, "SIGKILL");
  if (!(await untilFree(lockFile, END_WITHIN_MS))) {
    throw new CliError(
      "failed",
      `The daemon (PID ${state.pid}) can't be ended, not even by force: see ${homes.logsDir}.`,
    );
  }
  acquireLock(lockFile, () => removeState(stateFile))?.release();
  await untilGone(state.pid);
  return { state, killed: true };
}

async function untilFree(lockFile: string, withinMs: number): Promise<boolean> {
  for (const deadline = Date.now() + withinMs; isLocked(lockFile); await sleep(25)) {
    if (Date.now() > deadline) return false;
  }
  return true;
}

async function untilGone(pid: number): Promise<void> {
  for (const deadline = Date.now() + GONE_WITHIN_MS; isAlive(pid) && Date.now() < deadline;) await sleep(10);
}

function signal(pid: number, name: "SIGTERM" | "SIGKILL"): void {
  try {
    process.kill(pid, name);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    // Gone in this moment.
    if (code === "ESRCH") return;
    if (code !== "EPERM") throw error;
    throw new CliError("failed", `The daemon (PID ${pid}) is another user's: stop it as that user.`, { cause: error });
  }
}
