import { resolveHome } from "@stigmer/config";
import type { CommandIo } from "../../command-io.ts";
import { stopDaemon } from "../../daemon/stop-daemon.ts";
import { writeLine } from "../../output/write.ts";

/** Stops everything. That nothing ran is no failure. */
export async function localStop(_options: object, io: CommandIo): Promise<void> {
  const homes = resolveHome(io.env);
  const state = await stopDaemon(homes);
  writeLine(io.stdout, state ? `Stopped (PID ${state.pid}).` : `Nothing runs in ${homes.home}.`);
}
