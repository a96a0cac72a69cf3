import type { CommandIo } from "../../command-io.ts";
import type { DaemonState } from "../../daemon/daemon-state.ts";
import { startSupervisor, type Supervisor, type SupervisorOptions } from "../../daemon/supervisor.ts";
import { exitCodes } from "../../errors.ts";
import type { JsonLogger } from "@stigmer/telemetry";
import { writeLine } from "../../output/write.ts";

export interface ForegroundOptions extends Omit<SupervisorOptions, "signal" | "logger"> {
  /** Called when both are ready. */
  readonly onReady: (state: DaemonState) => void;
}

/** Runs the daemon in this process until Ctrl-C or SIGTERM; a second one does not wait for anything. */
export async function superviseInForeground(
  { onReady, ...options }: ForegroundOptions,
  io: CommandIo,
): Promise<number> {
  const stop = new AbortController();
  const asked = Promise.withResolvers<void>();
  let supervisor: Supervisor | undefined;
  const stopListening = io.onSignal(() => {
    if (stop.signal.aborted) void supervisor?.kill();
    else writeLine(io.stderr, "Stopping…");
    stop.abort();
    asked.resolve();
  });
  try {
    supervisor = await startSupervisor({ ...options, signal: stop.signal, logger: plainLogger(io) });
    onReady(supervisor.state());
    await asked.promise;
    await supervisor.stop();
    return 0;
  } catch (error) {
    if (stop.signal.aborted) return exitCodes.interrupted;
    throw error;
  } finally {
    stopListening();
  }
}

/** A person is looking: crashes are told as they happen. What ends the start is told by its error. */
function plainLogger({ stderr }: CommandIo): JsonLogger {
  const quiet = (): void => {};
  const say = (_fields: object, message: string): void => writeLine(stderr, message);
  return { debug: quiet, info: quiet, warn: say, error: say };
}
