import { resolveHome } from "@stigmer/config";
import type { CommandIo } from "../../command-io.ts";
import { stopDaemon } from "../../daemon/stop-daemon.ts";
import { writeLine } from "../../output/write.ts";
import { withDaemonProgress } from "./daemon-progress.ts";

/** Stops everything. That nothing ran is no failure. */
export async function localStop(_options: object, io: CommandIo): Promise<void> {
  const homes = resolveHome(io.env);
  const stopped = await withDaemonProgress({ homes, verb: "Stopping" }, io, () => stopDaemon(homes));
  if (!stopped) return writeLine(io.stdout, `Nothing runs in ${homes.home}.`);
  const { state, killed } = stopped;
  if (killed) writeLine(io.stderr, `It did not stop by itself and was killed: see ${state.logsDir}.`);
  writeLine(io.stdout, `Stopped (PID ${state.pid}).`);
}
