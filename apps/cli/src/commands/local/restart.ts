import { resolveHome } from "@stigmer/config";
import type { CommandIo } from "../../command-io.ts";
import { stopDaemon } from "../../daemon/stop-daemon.ts";
import { localStart, type LocalStartOptions } from "./start.ts";

/** Stops what runs and starts it anew, on the port it had unless another is given. */
export async function localRestart(options: Pick<LocalStartOptions, "port">, io: CommandIo): Promise<number | void> {
  const before = await stopDaemon(resolveHome(io.env));
  const port = options.port ?? (before?.endpoint ? Number(before.endpoint.split(":").at(-1)) : undefined);
  return localStart({ port }, io);
}
