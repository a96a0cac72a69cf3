// What the daytona driver promises.
import type { SandboxCapabilities } from "../sandbox.ts";

/**
 * Daytona keeps the network policies itself, from the moment the sandbox is made. Its sizes (processors, memory, disk)
 * belong to the snapshot, so that no limit can be asked for. A process that leaves its session, its parent and its
 * environment is only gone with the whole sandbox.
 */
export function daytonaCapabilities(): SandboxCapabilities {
  return {
    isolation: true,
    separateStderr: true,
    tracksEscapes: false,
    backgroundProcesses: true,
    snapshot: true,
    network: ["full", "off", "allow-list"],
    limits: [],
  };
}
