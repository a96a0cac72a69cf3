import type { Homes } from "@stigmer/config";
import type { CommandIo } from "../../command-io.ts";
import type { RunnerChoice } from "../../daemon/runner-choice.ts";
import { findTemporalProgram } from "../../daemon/temporal-program.ts";
import { CliError } from "../../errors.ts";

export interface EngineChoice {
  /** By a flag. */
  readonly engine?: "embedded" | "temporal" | undefined;
  readonly runner: RunnerChoice;
  /** By the environment. */
  readonly configured: "embedded" | "temporal";
}

/** The program whose dev server the daemon is to start; undefined when it is to start none. */
export async function chooseTemporal(
  { engine, runner, configured }: EngineChoice,
  homes: Homes,
  { env }: CommandIo,
): Promise<string | undefined> {
  if (engine === "embedded" && configured === "temporal") {
    throw new CliError("usage", "--engine embedded, but TEMPORAL_SERVICE_ADDRESS names a Temporal: unset it.");
  }
  // A Temporal that the environment names is used as it is.
  if (engine !== "temporal" || configured === "temporal") return undefined;
  if (runner.type === "docker") {
    throw new CliError(
      "usage",
      "--engine temporal starts Temporal on 127.0.0.1, where a container does not reach it: leave out --runner docker, or set TEMPORAL_SERVICE_ADDRESS.",
    );
  }
  const program = await findTemporalProgram(homes, env);
  if (program) return program;
  throw new CliError(
    "failed",
    `There is no \`temporal\` on PATH nor in ${homes.binDir}: install Temporal's command line (https://docs.temporal.io/cli), or start without --engine temporal.`,
  );
}
