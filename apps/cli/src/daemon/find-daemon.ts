import { join } from "node:path";
import type { Homes } from "@stigmer/config";
import { type DaemonState, readState } from "./daemon-state.ts";
import { isLocked } from "./lock.ts";

/** Where a home's daemon keeps its lock and its state. */
export function daemonFiles({ runDir }: Pick<Homes, "runDir">): { lockFile: string; stateFile: string } {
  return { lockFile: join(runDir, "daemon.lock"), stateFile: join(runDir, "daemon.json") };
}

/** The daemon that runs in this home; undefined when none does, whatever a dead one left behind. */
export function findDaemon(homes: Pick<Homes, "runDir">): DaemonState | undefined {
  const { lockFile, stateFile } = daemonFiles(homes);
  return isLocked(lockFile) ? readState(stateFile) : undefined;
}
