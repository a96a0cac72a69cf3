// What the filesystem driver promises.
import type { SandboxCapabilities } from "../sandbox.ts";

/** Escapes are tracked by a resource limit that only Linux passes on and shows, and that the shell must be able to set. */
export function filesystemCapabilities(
  found: { readonly tracksEscapes: boolean } = { tracksEscapes: process.platform === "linux" },
): SandboxCapabilities {
  return {
    isolation: false,
    separateStderr: true,
    tracksEscapes: found.tracksEscapes,
    backgroundProcesses: true,
    snapshot: false,
    network: ["full"],
    limits: [],
  };
}
