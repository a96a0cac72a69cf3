// What the isolated driver promises, by what it finds on this machine.
import type { SandboxCapabilities, SandboxLimits } from "../sandbox.ts";

export interface IsolatedFindings {
  readonly platform: "linux" | "darwin";
  readonly tracksEscapes: boolean;
  readonly limits: readonly (keyof SandboxLimits)[];
}

export function isolatedCapabilities({ platform, tracksEscapes, limits }: IsolatedFindings): SandboxCapabilities {
  return {
    isolation: true,
    separateStderr: true,
    tracksEscapes,
    backgroundProcesses: true,
    snapshot: false,
    network: platform === "linux" ? ["off", "allow-list", "full"] : ["off", "full"],
    limits,
  };
}
