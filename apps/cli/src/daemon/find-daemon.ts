import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Homes } from "@stigmer/config";
import { CliError } from "../errors.ts";
import { type DaemonState, readState } from "./daemon-state.ts";
import { isLocked } from "./lock.ts";

// From taking its lock to writing its state a daemon needs a few milliseconds.
const SAYS_SOMETHING_WITHIN_MS = 2_000;

/** Where a home's daemon keeps its lock and its state. */
export function daemonFiles({ runDir }: Pick<Homes, "runDir">): { lockFile: string; stateFile: string } {
  return { lockFile: join(runDir, "daemon.lock"), stateFile: join(runDir, "daemon.json") };
}

/** The daemon that runs in this home; undefined when none does, whatever a dead one left behind. */
export async function findDaemon(homes: Pick<Homes, "runDir">): Promise<DaemonState | undefined> {
  const { lockFile, stateFile } = daemonFiles(homes);
  for (const deadline = Date.now() + SAYS_SOMETHING_WITHIN_MS; isLocked(lockFile); await sleep(10)) {
    const state = readState(stateFile);
    if (state) return state;
    if (Date.now() > deadline) {
      throw new CliError(
        "failed",
        `A daemon runs, but what it says in ${stateFile} can't be read: use the version of stigmer that started it.`,
      );
    }
  }
  return undefined;
}
