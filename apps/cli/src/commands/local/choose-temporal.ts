import type { Homes } from "@stigmer/config";
import type { CommandIo } from "../../command-io.ts";
import type { RunnerChoice } from "../../daemon/runner-choice.ts";
import { findTemporalProgram } from "../../daemon/temporal-program.ts";
import { CliError } from "../../errors.ts";
import { promptStreams } from "../../output/prompts.ts";
import { writeLine } from "../../output/write.ts";

export interface EngineChoice {
  /** By a flag. */
  readonly engine?: "embedded" | "temporal" | undefined;
  readonly runner: RunnerChoice;
  /** Fetches the program without asking. */
  readonly yes?: boolean | undefined;
  /** By the environment. */
  readonly configured: "embedded" | "temporal";
}

/** The program whose dev server the daemon is to start; undefined when it is to start none. */
export async function chooseTemporal(
  { engine, runner, yes, configured }: EngineChoice,
  homes: Homes,
  io: CommandIo,
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
  const program = await findTemporalProgram(homes, io.env);
  if (program) return program;
  const { fetchTemporal, TEMPORAL_VERSION } = await import("../../daemon/fetch-temporal.ts");
  const missing = `There is no \`temporal\` on PATH nor in ${homes.binDir}`;
  if (!yes) await askToFetch(`${missing}. Fetch version ${TEMPORAL_VERSION} (about 50 MB)?`, missing, io);
  const stop = new AbortController();
  const stopListening = io.onSignal(() => stop.abort());
  try {
    writeLine(io.stderr, `Fetching Temporal's command line ${TEMPORAL_VERSION} into ${homes.binDir}…`);
    return await fetchTemporal({ binDir: homes.binDir, env: io.env, signal: stop.signal });
  } catch (error) {
    if (stop.signal.aborted) throw new CliError("interrupted", "Nothing was started.", { cause: error });
    throw error;
  } finally {
    stopListening();
  }
}

async function askToFetch(question: string, missing: string, io: CommandIo): Promise<void> {
  if (!io.stdin.isTTY || !io.stderr.isTTY) {
    throw new CliError(
      "failed",
      `${missing}: let it be fetched with --yes, install it (https://docs.temporal.io/cli), or start without --engine temporal.`,
    );
  }
  const { confirm } = await import("@clack/prompts");
  if ((await confirm({ ...promptStreams(io), message: question })) !== true)
    throw new CliError("interrupted", "Nothing was started.");
}
