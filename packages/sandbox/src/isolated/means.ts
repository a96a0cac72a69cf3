// What a platform lends the isolated driver.
import type { Launch } from "../host-processes/command-host.ts";
import type { FailureReason, SandboxLimits } from "../sandbox.ts";
import type { IsolatedFindings } from "./capabilities.ts";
import type { IsolatedSandboxOptions } from "./create.ts";

export interface IsolatedMeans {
  /** The workspace as commands see it. */
  readonly root: string;
  /** What commands start from. Nothing of this machine's environment. */
  readonly env: Readonly<Record<string, string>>;
  /** `cwd` as commands see it. */
  launch(cwd: string): Promise<Launch>;
  /** As for `createCommandHost`. */
  readonly guarded: boolean;
  isInside?(pid: number): boolean;
  watch?(): (exitCode: number, reason: FailureReason | undefined) => FailureReason | undefined;
  /** Ends everything that runs in the sandbox, where there is one thing to end. */
  killAll?(): Promise<void>;
  /** Once nothing runs any more. */
  end(): Promise<void>;
}

export interface MeansOptions extends IsolatedSandboxOptions {
  readonly shell: string;
  /** The workspace on this machine, all links resolved. */
  readonly location: string;
}

export interface Platform {
  /** What this machine can keep. Throws `backend-unavailable` with what to install. */
  findings(): Promise<Findings>;
  createMeans(options: MeansOptions): Promise<IsolatedMeans>;
}

export type Findings = Omit<IsolatedFindings, "tracksEscapes"> & { readonly limits: readonly (keyof SandboxLimits)[] };
