import { setTimeout as sleep } from "node:timers/promises";
import type { Homes } from "@stigmer/config";
import { CliError } from "../errors.ts";
import type { DaemonState } from "./daemon-state.ts";
import { daemonFiles, findDaemon } from "./find-daemon.ts";
import { isLocked } from "./lock.ts";

// The runner gets 12 s to hand back its work, the server 5 s.
const STOP_WITHIN_MS = 20_000;

/** Stops this home's daemon and everything it started. Answers its last state; undefined when none ran. */
export async function stopDaemon(homes: Homes): Promise<DaemonState | undefined> {
  const state = findDaemon(homes);
  if (!state) return undefined;
  // The lock is held, so the process is the one that wrote the state.
  signal(state.pid, "SIGTERM");
  const { lockFile } = daemonFiles(homes);
  for (const deadline = Date.now() + STOP_WITHIN_MS; Date.now() < deadline; await sleep(25)) {
    if (!isLocked(lockFile)) return state;
  }
  signal(state.pid, "SIGKILL");
  throw new CliError(
    "failed",
    `The daemon (PID ${state.pid}) did not stop within ${STOP_WITHIN_MS / 1000} s and was killed; its children end by themselves. See ${homes.logsDir}.`,
  );
}

function signal(pid: number, name: "SIGTERM" | "SIGKILL"): void {
  try {
    process.kill(pid, name);
  } catch (error) {
    // Gone in this moment.
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}
