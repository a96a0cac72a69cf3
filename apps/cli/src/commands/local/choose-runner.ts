import { statSync } from "node:fs";
import { resolve } from "node:path";
import { readConfig } from "@stigmer/config";
import type { CommandIo } from "../../command-io.ts";
import { checkImage } from "../../daemon/docker-cli.ts";
import type { RunnerChoice } from "../../daemon/runner-choice.ts";
import { CliError } from "../../errors.ts";
import { readVersion } from "../../version.ts";

export interface RunnerOptions {
  /** Default: a process, or what the daemon had before its restart. */
  readonly runner?: "process" | "docker";
  /** Default: `stigmer/agent-runner`, in this version. */
  readonly runnerImage?: string;
  readonly runnerMount?: readonly string[];
}

/** The choice that flags make, unchecked. */
export function runnerOf({ runner, runnerImage, runnerMount = [] }: RunnerOptions, cwd: string): RunnerChoice {
  if (runner === "docker") {
    const image = runnerImage ?? `stigmer/agent-runner:${readVersion()}`;
    return { type: "docker", image, mounts: runnerMount.map((folder) => resolve(cwd, folder)) };
  }
  if (runnerImage !== undefined || runnerMount.length > 0) {
    throw new CliError(
      "usage",
      "--runner-image and --runner-mount are for a runner in a container: add --runner docker.",
    );
  }
  return { type: "process" };
}

/** Finds what is in the way of a runner in a container before anything is started. */
export async function checkRunner(choice: RunnerChoice, io: CommandIo): Promise<void> {
  if (choice.type === "process") return;
  const config = readConfig({ ...io.env, MODE: "local" });
  const sandboxes =
    config.ok && (io.env["SANDBOX_TYPES"] ? config.config.sandboxConfigs() : [config.config.sandboxConfig()]);
  const other = sandboxes ? sandboxes.find(({ type }) => type !== "filesystem") : undefined;
  if (other) {
    const variable = io.env["SANDBOX_TYPES"]
      ? `SANDBOX_TYPES=${io.env["SANDBOX_TYPES"]}`
      : `SANDBOX_TYPE=${other.type}`;
    throw new CliError(
      "failed",
      `${variable} makes sandboxes of its own, which it can't inside a container: unset it, or start without --runner docker.`,
    );
  }
  for (const folder of choice.mounts) {
    if (!statSync(folder, { throwIfNoEntry: false })?.isDirectory()) {
      throw new CliError("failed", `--runner-mount ${folder} is not a directory.`);
    }
  }
  await checkImage(choice.image, io.env);
}
