import type { CommandIo } from "../../command-io.ts";
import { stopDaemon } from "../../daemon/stop-daemon.ts";
import { planStart, startPlanned, type LocalStartOptions } from "./start.ts";

/** Stops what runs and starts it anew, on the port it had unless another is given. What can't start stops nothing. */
export async function localRestart(options: Pick<LocalStartOptions, "port">, io: CommandIo): Promise<void> {
  const plan = await planStart(options, io);
  const before = await stopDaemon(plan.homes);
  const port = options.port ?? (Number(before?.state.endpoint.split(":").at(-1)) || plan.port);
  await startPlanned({ ...plan, port }, { port }, io);
}
