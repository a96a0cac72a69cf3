import { resolveHome } from "@stigmer/config";
import type { CommandIo } from "../../command-io.ts";
import { findDaemon } from "../../daemon/find-daemon.ts";
import { stopDaemon } from "../../daemon/stop-daemon.ts";
import { withDaemonProgress } from "./daemon-progress.ts";
import { checkRunner, type RunnerOptions } from "./choose-runner.ts";
import { planStart, startPlanned, type LocalStartOptions } from "./start.ts";

/** Stops what runs and starts it anew, on the port it had and with the runner and the engine it had unless others are given. What can't start stops nothing. */
export async function localRestart(
  options: Pick<LocalStartOptions, "port" | "engine"> & RunnerOptions,
  io: CommandIo,
): Promise<void> {
  const daemon = await findDaemon(resolveHome(io.env));
  const had = options.runner === undefined ? daemon?.runner : undefined;
  const hadTemporal = daemon?.processes.some(({ name }) => name === "temporal");
  const planned = await planStart({ ...options, engine: options.engine ?? (hadTemporal ? "temporal" : undefined) }, io);
  const plan = { ...planned, runner: had ?? planned.runner };
  if (had) await checkRunner(had, io);
  const before = await withDaemonProgress({ homes: plan.homes, verb: "Stopping" }, io, () => stopDaemon(plan.homes));
  const port = options.port ?? (Number(before?.state.endpoint.split(":").at(-1)) || plan.port);
  await startPlanned({ ...plan, port }, { port }, io);
}
