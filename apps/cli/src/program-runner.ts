// Where the daemon's agent-runner runs.
import { type Command as Program, Option } from "commander";

/** Adds the flags to a command that starts a daemon. */
export function addRunnerOptions<T extends Program>(command: T): T {
  return command
    .addOption(
      new Option("--runner <where>", "the agent-runner as a process, or in a container").choices(["process", "docker"]),
    )
    .option("--runner-image <image>", "of that container (default: stigmer/agent-runner in this version)")
    .option(
      "--runner-mount <folder...>",
      "folders that runs in that container may work in, besides Stigmer's workspaces",
    );
}
