// What the docker driver promises.
import type { SandboxCapabilities } from "../sandbox.ts";

/** Domains can't be allowed one by one, and the files lie in a directory of the host, whose size the engine doesn't limit. */
export const dockerCapabilities: SandboxCapabilities = {
  isolation: true,
  separateStderr: true,
  tracksEscapes: true,
  backgroundProcesses: true,
  snapshot: true,
  network: ["off", "full"],
  limits: ["cpuSeconds", "memoryBytes", "processes"],
};
