// What the filesystem driver promises.
import type { SandboxCapabilities } from "../sandbox.ts";

export const filesystemCapabilities: SandboxCapabilities = {
  isolation: false,
  separateStderr: true,
  // A process that leaves its session, loses its parent and clears its environment is out of sight.
  tracksEscapes: false,
  backgroundProcesses: false,
  snapshot: false,
  network: ["full"],
  limits: [],
};
