import { text } from "node:stream/consumers";
import { resolveHome } from "@stigmer/config";
import { z } from "zod";
import type { CommandIo } from "../../command-io.ts";
import { createLogStream } from "../../daemon/log-stream.ts";
import type { SupervisorMessage } from "../../daemon/start-detached.ts";
import { AlreadyRunningError, startSupervisor, type SupervisorOptions } from "../../daemon/supervisor.ts";
import { type RunnerOptions, runnerOf } from "./choose-runner.ts";
import { tellParent } from "../../daemon/tell-parent.ts";
import { exitCodes } from "../../errors.ts";
import { createJsonLogger } from "@stigmer/telemetry";

export type SuperviseOptions = Pick<SupervisorOptions, "port" | "children" | "restarts" | "temporal"> & RunnerOptions;

const secretsSchema = z.record(z.string(), z.string());

/** The daemon itself: started detached by `local start`, which gives it the secrets by standard input. */
export async function supervise(
  { port, children, restarts, temporal, ...runner }: SuperviseOptions,
  io: CommandIo,
): Promise<number> {
  // The command that started this may be gone: that stops nothing.
  const tell = (message: SupervisorMessage): Promise<void> => tellParent(message);
  const logger = createJsonLogger({ level: "INFO", destination: createLogStream(1) });
  const stop = new AbortController();
  const asked = Promise.withResolvers<void>();
  const stopListening = io.onSignal((signal) => {
    logger.info({ signal }, "the daemon stops");
    stop.abort();
    asked.resolve();
  });
  try {
    const supervisor = await startSupervisor({
      port,
      children,
      restarts,
      temporal,
      runner: runnerOf(runner, io.cwd),
      homes: resolveHome(io.env),
      // In this process's memory, not in its environment: each goes to the child that it is for.
      env: { ...io.env, ...(await readSecrets(io)) },
      signal: stop.signal,
      logger,
    });
    await tell({ type: "ready" });
    await asked.promise;
    await supervisor.stop();
    return 0;
  } catch (error) {
    if (error instanceof AlreadyRunningError) {
      await tell({ type: "already-running" });
      return 0;
    }
    const message = stop.signal.aborted
      ? "The daemon was stopped while it was starting."
      : error instanceof Error
        ? error.message
        : String(error);
    logger.error({}, message);
    await tell({ type: "failed", message });
    return exitCodes.failed;
  } finally {
    stopListening();
  }
}

async function readSecrets({ stdin }: CommandIo): Promise<Record<string, string>> {
  const json = await text(stdin);
  try {
    return secretsSchema.parse(JSON.parse(json || "{}"));
  } catch {
    // Neither the parser's message nor the schema's may be shown: both quote the input.
    throw new Error("The secrets on the standard input are not a JSON object of strings.");
  }
}
