import type { CommandIo } from "../../command-io.ts";
import { exitCodes } from "../../errors.ts";
import { startSupervisor, type SupervisorOptions } from "../../daemon/supervisor.ts";
import { writeLine } from "../../output/write.ts";
import { showDaemon } from "./show-daemon.ts";

/** Runs the daemon in this process until Ctrl-C or SIGTERM; a second one does not wait for anything. */
export async function superviseInForeground(
  options: Omit<SupervisorOptions, "signal">,
  io: CommandIo,
): Promise<number> {
  const stop = new AbortController();
  const asked = Promise.withResolvers<void>();
  const stopListening = io.onSignal(() => {
    if (stop.signal.aborted) process.exit(exitCodes.interrupted);
    stop.abort();
    asked.resolve();
  });
  try {
    const supervisor = await startSupervisor({ ...options, signal: stop.signal });
    writeLine(io.stdout, "Daemon started successfully\nAgent-runner started successfully");
    io.stdout.write(showDaemon(supervisor.state(), io));
    await asked.promise;
    writeLine(io.stderr, "Stopping…");
    await supervisor.stop();
    return 0;
  } catch (error) {
    if (stop.signal.aborted) return exitCodes.interrupted;
    throw error;
  } finally {
    stopListening();
  }
}
